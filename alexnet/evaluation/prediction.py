"""The answers to one image."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """The answers to one image, or why there are none."""

    image: str
    """The path as it was given, or "image 1" for the first of those without a path."""
    answers: tuple[tuple[str, float], ...] = ()
    """(label, probability), the most probable first."""
    error: str | None = None
    """The reason, when the image could not be read."""
    abstained: bool | None = None
    """Whether the best probability is below what was asked for; None where nothing was asked."""

    def to_json(self) -> dict[str, Any]:
        """One line of `alexnet predict --json`."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        answers = [{"label": label, "probability": probability} for label, probability in self.answers]
        told = {} if self.abstained is None else {"abstained": self.abstained}
        return {"image": self.image, **told, "predictions": answers}
