"""A request with pictures: its body read, decoded and computed within the limits, its answers as JSON."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alexnet.data.decoding import Refused
from alexnet.errors import counted
from alexnet.serving import bodies
from alexnet.serving.batcher import Compute, Full, Load
from alexnet.serving.bodies import Bad, Room
from alexnet.serving.service import Service

if TYPE_CHECKING:
    from fastapi import Request
    from fastapi.responses import JSONResponse

Answer = Any
Tell = Callable[[Answer], dict[str, Any]]
"""What is told of one picture's answer, beside its name."""


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
            return await asyncio.to_thread(self._response, request, found, question)
        return self._response(request, found, question)

    def _response(self, request: "Request", found: list[tuple[str, Answer]], question: Question) -> "JSONResponse":
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
            request.state.refused = "pictures"
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
            request.state.pictures = len(found)
            if question.most is not None and len(found) > question.most:
                fit = counted(question.most, "image")
                raise Bad(413, "images", f"an answer of this stage has room for {fit}; send the others apart.")
            try:
                asked = self._batcher.submit(question.compute, [question.load(upload.data) for upload in found])
            except Full as full:
                again = {"Retry-After": str(full.seconds)}
                raise Bad(429, "queue", f"the queue is full; try again in {full.seconds} s.", again) from None
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
            raise Bad(408, "upload", sentence, {"Connection": "close"}) from None

    async def _waited(self, request: "Request", asked: "Sequence[Future[Any]]", deadline: float) -> list[Answer]:
        from starlette.requests import ClientDisconnect

        watching = asyncio.create_task(_given_up(request, asked))
        try:
            async with asyncio.timeout_at(deadline):
                found = await asyncio.gather(*map(asyncio.wrap_future, asked), return_exceptions=True)
        except TimeoutError:
            sentence = f"there was no answer within {self._limits.seconds:g} seconds; try again later."
            raise Bad(503, "answer", sentence, {"Retry-After": "5"}) from None
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
