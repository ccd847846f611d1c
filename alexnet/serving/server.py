"""The HTTP service: what each address answers, how refusals read, and the headers around everything."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import alexnet
from alexnet.errors import InputError
from alexnet.serving import answers, page, questions
from alexnet.serving.bodies import Bad
from alexnet.serving.service import Service
from alexnet.serving.telling import Telling

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.types import ASGIApp

_ABOUT = """A classifier of photographs. Send pictures to `/v1/predict`, one as the body itself or many as the field
`images` of a form. Whatever is refused answers `{"error": "one sentence"}`."""
_HEADERS = [
    (b"content-security-policy", page.POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def application(service: Service) -> "ASGIApp":
    """The ASGI application of a service. When it ends, the service is closed, all that was accepted being answered."""
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
    _add_facts(app, service, kernels is not None)
    page.add(app, kernels)
    return _Around(app, service.telling)


def _add_facts(app: "FastAPI", service: Service, kernels: bool) -> None:
    from fastapi.responses import PlainTextResponse, Response

    classifier, limits = service.classifier, service.limits
    can = (service.evidence, service.nearby is not None, kernels)

    async def classes() -> answers.Classes:
        """The classes, in the order of the network's outputs."""
        named = zip(classifier.classes, classifier.labels, strict=True)
        return answers.Classes([answers.Class(entry.name, entry.words, label) for entry, label in named])

    async def about() -> answers.About:
        """What this server can do."""
        way = classifier.squaring
        sizes = (len(classifier.classes), way.size, classifier.views.crop, way.geometry, way.filter)
        return answers.About(service.name, alexnet.__version__, *sizes, *can, limits.images, limits.megabytes)

    async def health() -> Any:
        """Whether the process answers."""
        return PlainTextResponse("ok\n")

    async def ready() -> Any:
        """Whether pictures are taken: 503 while the queue is full."""
        if service.batcher.held < limits.queue:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", 503)

    async def metrics() -> Any:
        """Counters, for Prometheus."""
        return Response(service.telling.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.add_api_route("/v1/classes", classes, response_model=answers.Classes, tags=["facts"])
    app.add_api_route("/v1/about", about, response_model=answers.About, tags=["facts"])
    full: dict[int | str, Any] = {503: {"description": "The queue is full."}}
    for path, answer, others in (("/healthz", health, None), ("/readyz", ready, full), ("/metrics", metrics, None)):
        app.add_api_route(path, answer, response_class=PlainTextResponse, responses=others, tags=["watching"])


def _add_refusals(app: "FastAPI") -> None:
    from fastapi.exceptions import HTTPException, RequestValidationError
    from fastapi.responses import JSONResponse, Response
    from starlette.exceptions import HTTPException as AnyHTTPException
    from starlette.requests import ClientDisconnect

    def refused(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"error": sentence}, status, headers)

    async def bad(_: "Request", error: Any) -> JSONResponse:
        return refused(error.status, error.sentence, error.headers)

    async def wrong(_: "Request", error: Any) -> JSONResponse:
        return refused(422, str(error))

    async def invalid(_: "Request", error: Any) -> JSONResponse:
        first = error.errors()[0]
        told = first["msg"][:1].lower() + first["msg"][1:]
        return refused(422, f"{first['loc'][-1]}: {told}.")

    async def lost(request: "Request", error: Any) -> JSONResponse:
        known = {404: f"there is nothing at {request.url.path}; /docs lists what there is."}
        known[405] = f"{request.url.path} does not take {request.method}; /docs tells what it takes."
        return refused(error.status_code, known.get(error.status_code, str(error.detail)), error.headers)

    async def gone(*_: Any) -> Response:
        return Response(status_code=499)  # nobody reads it

    async def broken(*_: Any) -> JSONResponse:
        return refused(500, "the server failed at this request; its log tells where.")

    kinds = {Bad: bad, InputError: wrong, RequestValidationError: invalid, HTTPException: lost, AnyHTTPException: lost}
    for kind, handler in {**kinds, ClientDisconnect: gone, Exception: broken}.items():
        app.add_exception_handler(kind, handler)


class _Around:
    """Adds the headers to every response, counts it, and lets HEAD be asked wherever GET may be."""

    def __init__(self, app: Any, telling: Telling) -> None:
        self._app, self._telling = app, telling

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # whoever speaks HTTP to the client leaves out the body

        async def sending(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._telling.request(path, status, time.perf_counter() - begun)
