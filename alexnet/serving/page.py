"""The page for people: its files, which come with the package, and what it may load, which is nothing else."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from alexnet.analysis.kernels import mosaic
from alexnet.model.rows import Convolution
from alexnet.serving.bodies import Bad
from alexnet.serving.service import Service

if TYPE_CHECKING:
    from fastapi import FastAPI

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
}


def add(app: "FastAPI", kernels: np.ndarray | None) -> None:
    """Nothing; `app` shows the page, the API's page and the kernels float32 `[K,3,k,k]`, if there are any."""
    from fastapi.responses import Response

    def answering(data: bytes, kind: str) -> Any:
        async def file() -> Response:
            return Response(data, media_type=kind, headers={"Cache-Control": "no-cache"})

        return file

    for path, (name, kind) in FILES.items():
        data = (Path(__file__).parent / "page" / name).read_bytes()
        app.add_api_route(path, answering(data, kind), include_in_schema=False)

    image = None if kernels is None else drawn(kernels)

    async def mosaic_of_kernels() -> Response:
        """The kernels that read the picture, as a PNG."""
        if image is None:
            raise Bad(404, "address", "this network has no convolution that reads the picture, so no kernels to show.")
        return Response(image, media_type="image/png", headers={"Cache-Control": "no-cache"})

    app.add_api_route("/v1/kernels", mosaic_of_kernels, response_class=Response, tags=["pictures"])


def kernels(service: Service) -> np.ndarray | None:
    """The first convolution's kernels, float32 `[K,3,k,k]`; None if no convolution reads the picture."""
    network = service.classifier.network
    row = next((row for row in network.rows if isinstance(row, Convolution)), None)
    weights = None if row is None else network.whole()[f"{row.name}.weight"].float().cpu().numpy()
    return None if weights is None or weights.shape[1] != 3 else weights


def drawn(weights: np.ndarray) -> bytes:
    """A PNG of kernels float32 `[K,3,k,k]`: a point a weight, transparent between them."""
    columns = 16 if len(weights) % 16 == 0 else 8
    gaps = mosaic(-np.ones_like(weights), columns)
    pixels = np.concatenate([mosaic(weights, columns), 1 - gaps[..., :1]], axis=2)
    file = io.BytesIO()
    Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
