"""What an imported classifier shows of itself: kernels that are not noise, and answers to pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.interchange.pictures import Pictures
from alexnet.model import rows

_DRAWS = 20
_MARGIN = 0.05


@dataclass(frozen=True)
class Spectrum:
    """The share of the first kernels' power in slow waves, of up to half the fastest frequency, and of noise's."""

    slow: float
    noise: float
    deviation: float
    """Of the share, between draws of as many kernels of noise."""

    @property
    def trained(self) -> bool:
        """Whether the kernels are smoother than chance: photographs make them so, a random start does not."""
        return self.slow > self.noise + max(5 * self.deviation, _MARGIN)


@dataclass(frozen=True)
class Seen:
    """What came of pictures."""

    pictures: str
    """What they are."""
    images: int
    answers: int
    """How many different classes were answered."""
    confidence: float
    """The mean probability of the first answer."""
    active: float
    """The share of the last convolution's units that answer to some picture."""
    top1_error: float | None
    """Where the pictures' classes are known."""

    def to_json(self) -> dict[str, Any]:
        """The values by name."""
        return dict(vars(self))


def spectrum(weight: np.ndarray) -> Spectrum:
    """The spectrum of kernels float `[K,3,k,k]` beside that of noise, drawn by a fixed seed."""
    generator = np.random.default_rng(0)
    draws = [_slow(generator.standard_normal(weight.shape, np.float32)) for _ in range(_DRAWS)]
    return Spectrum(_slow(weight), float(np.mean(draws)), float(np.std(draws)))


def first_kernels(classifier: Classifier) -> np.ndarray:
    """The kernels that read the images, float32 `[K,3,k,k]`."""
    first = next(row.name for row in classifier.network.rows if isinstance(row, rows.Convolution))
    return classifier.network.whole()[f"{first}.weight"].numpy()


def look(classifier: Classifier, pictures: Pictures) -> Seen:
    """What the classifier makes of pictures.

    Raises:
        InputError: it answers with what is no number.
    """
    images = pictures.images
    probabilities = classifier.probabilities(images).cpu()
    if not bool(torch.isfinite(probabilities).all()):
        raise InputError("the network answers with what is no number: the weights are damaged, or too large.")
    best = probabilities.max(1)
    last = [row for row in classifier.network.rows if isinstance(row, rows.Convolution | rows.LocallyConnected)][-1]
    after = classifier.network.rows[classifier.network.rows.index(last) + 1]
    maps = classifier.stages(images[:16], only=after.name)[after.name]
    error = None
    if pictures.labels is not None:
        error = float((best.indices != pictures.labels).double().mean())
    return Seen(
        pictures=pictures.told,
        images=len(images),
        answers=len(set(best.indices.tolist())),
        confidence=float(best.values.mean()),
        active=float((maps.abs() > 0).any(0).float().mean()),
        top1_error=error,
    )


def _slow(weight: np.ndarray) -> float:
    cycles = np.fft.fftfreq(weight.shape[-1])
    slow = np.hypot(cycles[:, None], cycles) <= 0.25
    power = np.square(np.abs(np.fft.fft2(weight.astype(np.float64))))  # whose squares no float32 overflows
    return float(power[..., slow].sum() / max(float(power.sum()), np.finfo(float).tiny))
