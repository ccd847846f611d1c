"""The HTTP service: what each address answers, how refusals read, and what is around everything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import alexnet
from alexnet.errors import InputError
from alexnet.interchange.proof import spectrum
from alexnet.serving import answers, page, questions
from alexnet.serving.around import Around
from alexnet.serving.bodies import Bad
from alexnet.serving.service import Service
from alexnet.serving.telling import Reason

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.types import ASGIApp

_ABOUT = """A classifier of photographs. Send pictures to `/v1/predict`, one as the body itself or many as the field
`images` of a form. Whatever is refused answers `{"error": "one sentence"}`."""


def application(service: Service, log: bool = False) -> "ASGIApp":
    """The ASGI application of a service. When it ends, the service is closed, all that was accepted being answered.

    Args:
        log: write a line of JSON for each request to standard error.
    """
    from fastapi import FastAPI

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title=f"alexnet: {service.name}",
        version=alexnet.__version__,
        description=_ABOUT,
        docs_url=None,  # FastAPI's pages load their parts from another host; ours is at /docs
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,  # behind a proxy it would lead astray
    )
    kernels = page.kernels(service)
    _add_refusals(app)
    questions.add(app, service)
    _add_facts(app, service, kernels is not None and spectrum(kernels).trained)
    _add_watching(app, service)
    page.add(app, kernels)
    return Around(app, service, log)


def _add_facts(app: "FastAPI", service: Service, kernels: bool) -> None:
    classifier, limits, way = service.classifier, service.limits, service.classifier.squaring

    async def classes() -> answers.Classes:
        """The classes, in the order of the network's outputs."""
        named = zip(classifier.classes, classifier.labels, strict=True)
        return answers.Classes([answers.Class(entry.name, entry.words, label) for entry, label in named])

    async def about() -> answers.About:
        """What this server can do."""
        return answers.About(
            name=service.name,
            version=alexnet.__version__,
            sha256=service.sha256,
            commit=classifier.commit,
            recipe=classifier.recipe,
            temperature=classifier.temperature,
            calibrated=service.calibrated,
            abstain_below=service.abstain_below,
            classes=len(classifier.classes),
            size=way.size,
            crop=classifier.views.crop,
            geometry=way.geometry,
            filter=way.filter,
            evidence=service.evidence,
            neighbours=service.nearby is not None,
            kernels=kernels,
            images=limits.images,
            megabytes=limits.megabytes,
        )

    app.add_api_route("/v1/classes", classes, response_model=answers.Classes, tags=["facts"])
    app.add_api_route("/v1/about", about, response_model=answers.About, tags=["facts"])


def _add_watching(app: "FastAPI", service: Service) -> None:
    from fastapi.responses import PlainTextResponse, Response

    async def health() -> Any:
        """Whether the process answers."""
        return PlainTextResponse("ok\n")

    async def ready() -> Any:
        """Whether pictures are taken: 503 while the queue is full, and once the server is stopping."""
        if service.batcher.held < service.limits.queue and not service.stopping:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", 503)

    async def metrics() -> Any:
        """Counters, for Prometheus."""
        return Response(service.telling.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    full: dict[int | str, Any] = {503: {"description": "The queue is full, or the server is stopping."}}
    for path, answer, others in (("/healthz", health, None), ("/readyz", ready, full), ("/metrics", metrics, None)):
        app.add_api_route(path, answer, response_class=PlainTextResponse, responses=others, tags=["watching"])


def _add_refusals(app: "FastAPI") -> None:
    from fastapi.exceptions import HTTPException, RequestValidationError
    from fastapi.responses import JSONResponse, Response
    from starlette.exceptions import HTTPException as AnyHTTPException
    from starlette.requests import ClientDisconnect

    def refused(
        request: "Request", status: int, reason: Reason, sentence: str, headers: dict[str, str] | None = None
    ) -> JSONResponse:
        request.state.refused = reason
        return JSONResponse({"error": sentence}, status, headers)

    async def bad(request: "Request", error: Any) -> JSONResponse:
        return refused(request, error.status, error.reason, error.sentence, error.headers)

    async def wrong(request: "Request", error: Any) -> JSONResponse:
        return refused(request, 422, "parameter", str(error))

    async def invalid(request: "Request", error: Any) -> JSONResponse:
        first = error.errors()[0]
        told = first["msg"][:1].lower() + first["msg"][1:]
        return refused(request, 422, "parameter", f"{first['loc'][-1]}: {told}.")

    async def lost(request: "Request", error: Any) -> JSONResponse:
        where, told = request.url.path, "/docs tells people, /openapi.json programs, what"
        known = {404: f"there is nothing at {where}; {told} there is."}
        known[405] = f"{where} does not take {request.method}; {told} it takes."
        sentence = known.get(error.status_code, str(error.detail))
        return refused(request, error.status_code, "address", sentence, error.headers)

    async def gone(request: "Request", _: Any) -> Response:
        request.state.refused = "gone"
        return Response(status_code=499)  # nobody reads it

    async def broken(request: "Request", _: Any) -> JSONResponse:
        return refused(request, 500, "failed", "the server failed at this request; its log tells where.")

    kinds = {Bad: bad, InputError: wrong, RequestValidationError: invalid, HTTPException: lost, AnyHTTPException: lost}
    for kind, handler in {**kinds, ClientDisconnect: gone, Exception: broken}.items():
        app.add_exception_handler(kind, handler)
