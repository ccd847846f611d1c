"""The shapes of what a server answers; OpenAPI's page is made of them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Refusal:
    """Why a request, or a picture of it, has no answer."""

    error: str


@dataclass(frozen=True)
class Label:
    label: str
    probability: float


@dataclass(frozen=True)
class Predicted:
    """Of one picture: its labels, the most probable first; or an error."""

    name: str
    predictions: list[Label] | None = None
    abstained: bool | None = None
    """Whether the best probability is below `abstain_below`; absent where that was not asked."""
    error: str | None = None


@dataclass(frozen=True)
class Predictions:
    results: list[Predicted]
    note: str | None = None
    """That the probabilities were never calibrated, where `abstained` rests on them."""


@dataclass(frozen=True)
class Embedded:
    """Of one picture: a stage's responses as one vector (maps, then rows, then columns); or an error."""

    name: str
    vector: list[float] | None = None
    error: str | None = None


@dataclass(frozen=True)
class Embeddings:
    stage: str
    shape: list[int]
    results: list[Embedded]


@dataclass(frozen=True)
class Near:
    """A picture near to the one asked about."""

    path: str
    label: str
    distance: float
    picture: str | None
    """Where its picture is, relative to the server's root; absent where the source is no longer there."""


@dataclass(frozen=True)
class Nearest:
    """Of one picture: those nearest to it, the nearest first; or an error."""

    name: str
    neighbours: list[Near] | None = None
    error: str | None = None


@dataclass(frozen=True)
class Neighbourhoods:
    results: list[Nearest]


@dataclass(frozen=True)
class Shown:
    """Of one picture: its labels, and as data URLs of PNGs the square that is looked at and the evidence over it."""

    name: str
    predictions: list[Label] | None = None
    abstained: bool | None = None
    picture: str | None = None
    evidence: str | None = None
    """Transparent where nothing speaks for the best label."""
    error: str | None = None


@dataclass(frozen=True)
class Evidences:
    results: list[Shown]
    note: str | None = None


@dataclass(frozen=True)
class Class:
    name: str
    words: str
    label: str
    """As predictions call it."""


@dataclass(frozen=True)
class Classes:
    classes: list[Class]


@dataclass(frozen=True)
class About:
    """What this server can do."""

    name: str
    version: str
    """Of the package that answers."""
    sha256: str
    """Of the classifier's file, as `sha256sum` tells it; "" where it came from none."""
    commit: str
    """Of the code that trained it."""
    recipe: dict[str, Any]
    """By which it was trained."""
    temperature: float
    calibrated: bool
    """Whether its probabilities were fitted to held-out pictures."""
    abstain_below: float | None
    """The probability that the best label must reach where a request names no other."""
    classes: int
    size: int
    """The side of the stored square, of which the network sees the central `crop`."""
    crop: int
    geometry: str
    """How a picture becomes that square: crop, pad or warp."""
    filter: str
    """By what it is resized: area, pillow-bilinear or opencv-linear."""
    evidence: bool
    neighbours: bool
    kernels: bool
    """Whether the first kernels are worth a look: smoother than chance, as pictures make them."""
    images: int
    megabytes: float


_BINARY = {"type": "string", "format": "binary"}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One or many pictures as a form, or one picture's bytes.",
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"images": {"type": "array", "items": _BINARY}}}
            },
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "No picture in the request, a damaged form, or an unknown parameter."},
    408: {"model": Refusal, "description": "The upload was too slow."},
    413: {"model": Refusal, "description": "Too many bytes or pictures."},
    415: {"model": Refusal, "description": "A content type that is no picture, or a compressed body."},
    422: {"model": Refusal, "description": "None of the pictures can be used, or a parameter is wrong."},
    429: {"model": Refusal, "description": "The queue is full; Retry-After says when to come again."},
    503: {"model": Refusal, "description": "The answer took too long; Retry-After says when to come again."},
}
