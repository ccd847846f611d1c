"""The questions that can be asked with pictures, and what is told of each answer."""

import asyncio
import base64
import io
import math
from collections.abc import Callable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from PIL import Image
from torch import Tensor

from alexnet.config import nearest
from alexnet.serving import answers, nearby
from alexnet.serving.asking import Asking, Question
from alexnet.serving.bodies import Bad, printable
from alexnet.serving.service import UNCALIBRATED, Seen, Service

if TYPE_CHECKING:
    from fastapi import FastAPI

_NUMBERS = 1 << 19  # of one answer of embed at most: JSON of 10 MB
_SHORT = 20  # labels a picture; more are told of in a thread
_ABSTAIN = "not sure below this; 0 is always sure"
_EVIDENCE = (217, 119, 6)  # the page's colour of evidence


def add(app: "FastAPI", service: Service) -> None:
    """Nothing; `app` answers the questions with pictures."""
    from fastapi import Query, Request

    asking = Asking(service)

    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, description="labels a picture")] = 5,
        abstain_below: Annotated[float | None, Query(ge=0, le=1, description=_ABSTAIN)] = service.abstain_below,
    ) -> Any:
        """What pictures show: for each its `top` most probable labels, as `alexnet predict` answers."""

        def tell(row: Tensor) -> dict[str, Any]:
            return labelled(row, service.classifier.labels, top, abstain_below)

        around = _note(service, abstain_below)
        question = Question(service.load, service.predict, tell, heavy=top > _SHORT, around=around)
        return await asking.ask(request, question)

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

    async def evidence(
        request: Request,
        top: Annotated[int, Query(ge=1, description="labels a picture")] = 5,
        abstain_below: Annotated[float | None, Query(ge=0, le=1, description=_ABSTAIN)] = service.abstain_below,
    ) -> Any:
        """Where in each picture the evidence for its best label lies (Grad-CAM), with its labels."""

        def tell(seen: Seen) -> dict[str, Any]:
            return labelled(seen.probabilities, service.classifier.labels, top, abstain_below) | drawn(seen)

        around = _note(service, abstain_below)
        return await asking.ask(request, Question(service.load, service.see, tell, heavy=True, around=around))

    _post(app, "/v1/evidence", evidence, answers.Evidences)


def _add_neighbours(app: "FastAPI", service: Service, asking: Asking) -> None:
    from fastapi import Path as PathParameter
    from fastapi import Query, Request
    from fastapi.responses import Response

    near, words = service.nearby, service.words
    assert near is not None

    async def neighbours(
        request: Request, count: Annotated[int, Query(ge=1, le=nearby.MOST, description="pictures of each")] = 6
    ) -> Any:
        """The pictures of the features that are nearest to each picture, by Euclidean distance of the responses."""

        def tell(found: Sequence[nearby.Neighbour]) -> dict[str, Any]:
            listed = [
                {
                    "path": each.path.encode("utf-8", "replace").decode(),
                    "label": words.get(each.label, each.label),
                    "distance": each.distance,
                }
                | {"picture": f"v1/neighbours/{each.row}" if near.read else None}
                for each in found[:count]
            ]
            return {"neighbours": listed}

        return await asking.ask(request, Question(service.load_for_neighbours, service.near, tell))

    async def picture(row: Annotated[int, PathParameter(description="as `picture` of a neighbour ends")]) -> Any:
        """A picture of the features, as the network was shown it."""
        data = await asyncio.to_thread(near.picture, row)
        if data is None:
            raise Bad(404, "address", f"there is no picture {row}.")
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    _post(app, "/v1/neighbours", neighbours, answers.Neighbourhoods)
    none: dict[str, Any] = {"model": answers.Refusal, "description": "There is no such picture."}
    kinds: dict[int | str, dict[str, Any]] = {404: none, 422: none}
    app.add_api_route("/v1/neighbours/{row}", picture, response_class=Response, responses=kinds, tags=["pictures"])


def _post(app: "FastAPI", path: str, endpoint: Callable[..., Any], model: type[Any]) -> None:
    from fastapi import Depends, Request

    known = [name for name in signature(endpoint).parameters if name != "request"]

    async def no_other(request: Request) -> None:
        for name in request.query_params:
            if name not in known:
                there = f"{nearest(name, known)}; there are {', '.join(known)}"
                raise Bad(400, "parameter", f"there is no parameter {printable(name)!r}{there}.")

    kinds: dict[int | str, dict[str, Any]] = {200: {"model": model}, **answers.REFUSALS}
    app.add_api_route(
        path,
        endpoint,
        methods=["POST"],
        dependencies=[Depends(no_other)],
        responses=kinds,
        openapi_extra=answers.BODY,
        response_model=None,
        tags=["ask"],
    )


def _note(service: Service, abstain_below: float | None) -> dict[str, str]:
    """What is to be known where answers abstain by probabilities that nobody fitted."""
    return {} if abstain_below is None or service.calibrated else {"note": UNCALIBRATED}


def labelled(probabilities: Tensor, labels: Sequence[str], top: int, abstain_below: float | None) -> dict[str, Any]:
    """`predictions`, and where it is asked whether to abstain, `abstained`."""
    found = best(probabilities, labels, min(top, len(labels)))
    unsure = {} if abstain_below is None else {"abstained": found[0]["probability"] < abstain_below}
    return {**unsure, "predictions": found}


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
