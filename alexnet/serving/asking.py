"""The questions with pictures: their bodies read, decoded and computed within the limits, their answers as JSON."""

import asyncio
import base64
import io
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from PIL import Image
from torch import Tensor

from alexnet.data.decoding import Refused
from alexnet.errors import counted
from alexnet.serving import answers, bodies, nearby
from alexnet.serving.batcher import Compute, Full, Load
from alexnet.serving.bodies import Bad, Room
from alexnet.serving.service import Seen, Service

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

Answer = Any
Tell = Callable[[Answer], dict[str, Any]]
"""What is told of one picture's answer, beside its name."""

_NUMBERS = 1 << 19  # of one answer of embed at most: JSON of 10 MB
_SHORT = 20  # labels a picture; more are told of in a thread
_EVIDENCE = (217, 119, 6)  # the page's colour of evidence


@dataclass(frozen=True)
class Question:
    """What is computed of a request's pictures, and what is told of it."""

    load: Callable[[bytes], Load]
    """Of a picture's bytes what decodes them."""
    compute: Compute
    tell: Tell
    heavy: bool = False
    """Whether telling takes so long that it must not hold up other requests."""
    most: int | None = None
    """Pictures of the request, where there is a limit of its own."""
    around: dict[str, Any] = field(default_factory=dict)
    """What stands beside `results`."""


class Asking:
    """Takes requests through: body, pictures, batcher, answer."""

    def __init__(self, service: Service) -> None:
        self._batcher, self._limits, self._telling = service.batcher, service.limits, service.telling
        self._room = Room(service.limits)

    async def ask(self, request: "Request", question: Question) -> "JSONResponse":
        """The response: `results` for each picture; 422 where none can be used."""
        deadline = asyncio.get_running_loop().time() + self._limits.seconds
        found = await self._answered(request, question, deadline)
        if question.heavy:
            return await asyncio.to_thread(self._response, found, question)
        return self._response(found, question)

    def _response(self, found: list[tuple[str, Answer]], question: Question) -> "JSONResponse":
        from fastapi.responses import JSONResponse

        results, reasons = [], []
        for name, answer in found:
            if isinstance(answer, Refused):
                reasons.append(f"{name} cannot be used: {answer.reason}.")
                results.append({"name": name, "error": answer.reason})
            elif isinstance(answer, BaseException):
                raise answer
            else:
                results.append({"name": name, **question.tell(answer)})
        self._telling.pictures(len(results) - len(reasons), len(reasons))
        if len(reasons) == len(results):
            return JSONResponse({"error": reasons[0], **question.around, "results": results}, 422)
        return JSONResponse({**question.around, "results": results})

    async def _answered(self, request: "Request", question: Question, deadline: float) -> list[tuple[str, Answer]]:
        """(name, answer or what was raised in its place) of each picture."""
        data = await self._body(request, deadline)
        kept = len(data)
        try:
            kind = request.headers.get("content-type", "")
            if kind.lower().startswith("multipart/"):
                found = await asyncio.to_thread(bodies.uploads, data, kind, self._limits)
            else:
                found = bodies.uploads(data, kind, self._limits)
            del data
            if question.most is not None and len(found) > question.most:
                fit = counted(question.most, "image")
                raise Bad(413, f"an answer of this stage has room for {fit}; send the others apart.")
            try:
                asked = self._batcher.submit(question.compute, [question.load(upload.data) for upload in found])
            except Full as full:
                again = {"Retry-After": str(full.seconds)}
                raise Bad(429, f"the queue is full; try again in {full.seconds} s.", again) from None
            names = [upload.name for upload in found]
            return list(zip(names, await self._waited(request, asked, deadline), strict=True))
        finally:
            self._room.held -= kept

    async def _body(self, request: "Request", deadline: float) -> bytes:
        try:
            async with asyncio.timeout_at(deadline):
                return await bodies.body(request, self._limits, self._room)
        except TimeoutError:
            sentence = f"the upload took longer than {self._limits.seconds:g} seconds."
            raise Bad(408, sentence, {"Connection": "close"}) from None

    async def _waited(self, request: "Request", asked: "Sequence[Future[Any]]", deadline: float) -> list[Answer]:
        from starlette.requests import ClientDisconnect

        watching = asyncio.create_task(_given_up(request, asked))
        try:
            async with asyncio.timeout_at(deadline):
                found = await asyncio.gather(*map(asyncio.wrap_future, asked), return_exceptions=True)
        except TimeoutError:
            sentence = f"there was no answer within {self._limits.seconds:g} seconds; try again later."
            raise Bad(503, sentence, {"Retry-After": "5"}) from None
        finally:
            watching.cancel()
        if any(isinstance(answer, asyncio.CancelledError) for answer in found):
            raise ClientDisconnect
        return found


async def _given_up(request: "Request", asked: "Sequence[Future[Any]]") -> None:
    """Nothing, once the client has gone: its pictures are not computed, and their places in the queue are free."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    for answer in asked:
        answer.cancel()


def add(app: "FastAPI", service: Service) -> None:
    """Nothing; `app` answers the questions with pictures."""
    from fastapi import Query, Request

    asking = Asking(service)
    labels = service.classifier.labels

    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, description="labels a picture")] = 5,
        abstain_below: Annotated[float | None, Query(ge=0, le=1, description="not sure below this")] = None,
    ) -> Any:
        """What pictures show: for each its `top` most probable labels, as `alexnet predict` answers."""

        def tell(row: Tensor) -> dict[str, Any]:
            found = best(row, labels, min(top, len(labels)))
            unsure = {} if abstain_below is None else {"abstained": found[0]["probability"] < abstain_below}
            return {**unsure, "predictions": found}

        return await asking.ask(request, Question(service.load, service.predict, tell, heavy=top > _SHORT))

    async def embed(
        request: Request, stage: Annotated[str | None, Query(description=f"one of {', '.join(service.stages)}")] = None
    ) -> Any:
        """A stage's responses to each picture's centre view, as `alexnet embed` writes them."""
        name, compute = service.embed(stage)
        shape = service.stages[name]
        most = max(1, _NUMBERS // math.prod(shape))

        def tell(vector: np.ndarray) -> dict[str, Any]:
            return {"vector": vector.tolist()}

        around = {"stage": name, "shape": list(shape)}
        return await asking.ask(request, Question(service.load, compute, tell, heavy=True, most=most, around=around))

    _post(app, "/v1/predict", predict, answers.Predictions)
    _post(app, "/v1/embed", embed, answers.Embeddings)
    if service.evidence:
        _add_evidence(app, service, asking)
    if service.nearby is not None:
        _add_neighbours(app, service, asking)


def _add_evidence(app: "FastAPI", service: Service, asking: Asking) -> None:
    from fastapi import Query, Request

    labels = service.classifier.labels

    async def evidence(request: Request, top: Annotated[int, Query(ge=1, description="labels a picture")] = 5) -> Any:
        """Where in each picture the evidence for its best label lies (Grad-CAM), with its labels."""

        def tell(seen: Seen) -> dict[str, Any]:
            return {"predictions": best(seen.probabilities, labels, min(top, len(labels))), **drawn(seen)}

        return await asking.ask(request, Question(service.load, service.see, tell, heavy=True))

    _post(app, "/v1/evidence", evidence, answers.Evidences)


def _add_neighbours(app: "FastAPI", service: Service, asking: Asking) -> None:
    from fastapi import Path as PathParameter
    from fastapi import Query, Request
    from fastapi.responses import Response

    near = service.nearby
    assert near is not None

    async def neighbours(
        request: Request, count: Annotated[int, Query(ge=1, le=nearby.MOST, description="pictures of each")] = 6
    ) -> Any:
        """The pictures of the features that are nearest to each picture, by Euclidean distance of the responses."""

        def tell(found: Sequence[nearby.Neighbour]) -> dict[str, Any]:
            listed = [
                {"path": each.path.encode("utf-8", "replace").decode(), "label": each.label, "distance": each.distance}
                | {"picture": f"v1/neighbours/{each.row}" if near.read else None}
                for each in found[:count]
            ]
            return {"neighbours": listed}

        return await asking.ask(request, Question(service.load_for_neighbours, service.near, tell))

    async def picture(row: Annotated[int, PathParameter(description="as `picture` of a neighbour ends")]) -> Any:
        """A picture of the features, as the network was shown it."""
        data = await asyncio.to_thread(near.picture, row)
        if data is None:
            raise Bad(404, f"there is no picture {row}.")
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    _post(app, "/v1/neighbours", neighbours, answers.Neighbourhoods)
    none: dict[str, Any] = {"model": answers.Refusal, "description": "There is no such picture."}
    kinds: dict[int | str, dict[str, Any]] = {404: none, 422: none}
    app.add_api_route("/v1/neighbours/{row}", picture, response_class=Response, responses=kinds, tags=["pictures"])


def _post(app: "FastAPI", path: str, endpoint: Callable[..., Any], model: type[Any]) -> None:
    kinds: dict[int | str, dict[str, Any]] = {200: {"model": model}, **answers.REFUSALS}
    app.add_api_route(
        path, endpoint, methods=["POST"], responses=kinds, openapi_extra=answers.BODY, response_model=None, tags=["ask"]
    )


def best(probabilities: Tensor, labels: Sequence[str], top: int) -> list[dict[str, Any]]:
    """The `top` most probable labels of float32 `[K]`, in the order of `Classifier.predict`."""
    found = probabilities.topk(top)
    return [
        {"label": labels[place], "probability": probability}
        for place, probability in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]


def drawn(seen: Seen) -> dict[str, str]:
    """The stored square and the evidence over it as data URLs: a colour, more opaque where there is more."""
    overlay = np.empty((*seen.map.shape, 4), np.uint8)
    overlay[..., :3] = _EVIDENCE
    overlay[..., 3] = np.rint(255 * np.sqrt(seen.map))
    return {"picture": _url(seen.pixels), "evidence": _url(overlay)}


def _url(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
