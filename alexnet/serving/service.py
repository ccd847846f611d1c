"""What a server knows and computes: the classifier, its batcher, and for each question one function of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet import __version__, devices, files, machine
from alexnet.analysis.saliency import grad_cam, last_maps
from alexnet.config import nearest
from alexnet.errors import InputError
from alexnet.evaluation import classifier_file
from alexnet.evaluation.classifier import Classifier
from alexnet.features.embed import responses
from alexnet.model import rows
from alexnet.model.network import facts
from alexnet.serving.batcher import Batcher, Compute, Load
from alexnet.serving.limits import Limits, plain
from alexnet.serving.nearby import Nearby
from alexnet.serving.telling import Telling

UNCALIBRATED = (
    "the classifier is not calibrated, so its probabilities may be far too high (or low) to decide by; "
    "`alexnet calibrate` comes first."
)


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture, its answers, and where the evidence for the best of them lies."""

    probabilities: Tensor
    """float32 `[K]`."""
    map: np.ndarray
    """float32 `[S,S]`, 0..1."""
    pixels: np.ndarray
    """uint8 `[S,S,3]`, the picture as it is stored."""


@dataclass(eq=False)
class Service:
    """A loaded classifier that answers many at once; `close` ends it."""

    name: str
    """What people know the classifier by."""
    classifier: Classifier
    limits: Limits
    nearby: Nearby | None = None
    sha256: str = ""
    """Of the classifier's file; "" where it came from none."""
    abstain_below: float | None = None
    """What the best probability must reach for an answer not to be "not sure", where a request names no other."""
    threads: int = field(default_factory=torch.get_num_threads)
    """How many compute on a CPU."""
    stopping: bool = field(init=False, default=False)
    """Whether the server is about to end: it is not ready any more, and asks its clients to close their connections."""
    stages: dict[str, tuple[int, ...]] = field(init=False)
    """The shapes of what `embed` can give, in the network's order."""
    stage: str = field(init=False)
    """The stage that is given when none is named: the last that is rectified, relu7 of the paper's network."""
    evidence: bool = field(init=False)
    """Whether the network has maps, so that there are places where evidence lies."""

    def __post_init__(self) -> None:
        network = self.classifier.network.eval()
        self.stages = {fact.name: fact.shape for fact in facts(network.config)}
        rectified = [row.name for row in network.rows if isinstance(row, rows.Rectifier | rows.Tanh)]
        self.stage = (rectified or list(self.stages))[-1]
        try:
            last_maps(network)
            self.evidence = True
        except InputError:
            self.evidence = False
        self._embeddings: dict[str, Compute] = {name: partial(self._embed, name) for name in self.stages}
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise InputError(f"--abstain-below is {self.abstain_below}; it is a probability, from 0 to 1.")
        told = {"name": self.name, "sha256": self.sha256, "commit": self.classifier.commit}
        told |= {"version": __version__, "calibrated": str(self.calibrated).lower()}
        self.telling = Telling(lambda: self.batcher.held, told)
        computing = partial(torch.set_num_threads, self.threads)
        self.batcher = Batcher(self.limits, machine.cores(), self.telling.batch, computing)

    @classmethod
    def open(
        cls,
        run: str | Path,
        limits: Limits,
        features: str | Path | None = None,
        *,
        source: str | Path | None = None,
        best: bool = False,
        device: str = "auto",
        abstain_below: float | None = None,
        threads: int | None = None,
    ) -> "Service":
        """The service of a run folder, a classifier file or the name of one that ships.

        Args:
            threads: how many compute on a CPU; None is as many as torch would take here.

        Raises:
            InputError: there is no classifier, the features are not of it, or `abstain_below` is no probability.
        """
        place = devices.choose(device)
        if place.type == "cpu":
            devices.keep_pages()
        classifier = Classifier.load(run, str(place), best)
        found = None if features is None else Nearby.open(features, run, source=source, best=best)
        name = Path(run).resolve().name if Path(run).exists() else str(run)
        checksum = files.checksum(classifier_file.find(run, best))
        return cls(name, classifier, limits, found, checksum, abstain_below, threads or torch.get_num_threads())

    @property
    def calibrated(self) -> bool:
        """Whether its probabilities were fitted to held-out pictures; a share to abstain by needs that."""
        return self.classifier.temperature != 1

    @property
    def words(self) -> dict[str, str]:
        """What people call a class, by its name."""
        return dict(zip((entry.name for entry in self.classifier.classes), self.classifier.labels, strict=True))

    def close(self) -> None:
        """Nothing, once all that was accepted is answered."""
        self.batcher.close()

    def load(self, data: bytes) -> Load:
        """What decodes `data` as the classifier stores pictures; it raises Refused."""
        return lambda: self.classifier.squaring.of_file(plain(data, self.limits), self.limits.pixels)

    def load_for_neighbours(self, data: bytes) -> Load:
        """What decodes `data` as the pictures of the features were; it raises Refused."""
        nearby = self.nearby
        assert nearby is not None
        return lambda: nearby.pixels(plain(data, self.limits), self.limits.pixels)

    def predict(self, pixels: Sequence[np.ndarray]) -> list[Tensor]:
        """float32 `[K]` of each: its probabilities by the centre view."""
        return list(self.classifier.probabilities(_stacked(pixels)).cpu())

    def see(self, pixels: Sequence[np.ndarray]) -> list[Seen]:
        """Each one's probabilities, and the evidence for its best label: Grad-CAM over its own largest value."""
        images = _stacked(pixels)
        probabilities = self.classifier.probabilities(images).cpu()
        maps = grad_cam(self.classifier, images, probabilities.argmax(1).tolist())
        maps /= np.maximum(maps.max((1, 2), keepdims=True), np.finfo(np.float32).tiny)
        return [Seen(*each) for each in zip(probabilities, maps, pixels, strict=True)]

    def embed(self, stage: str | None = None) -> tuple[str, Compute]:
        """(the stage's name, what computes float32 `[d]` of each picture: the stage's responses as one vector).

        Raises:
            InputError: there is no such stage.
        """
        name = stage or self.stage
        if name not in self._embeddings:
            there = f"{nearest(name, self.stages)}; there are {', '.join(self.stages)}"
            raise InputError(f"there is no stage {name!r}{there}.")
        return name, self._embeddings[name]

    def near(self, pixels: Sequence[np.ndarray]) -> list[Any]:
        """Each one's nearest, as `Nearby.nearest` gives them."""
        assert self.nearby is not None
        return self.nearby.nearest(np.stack(self._embed(self.nearby.stage, pixels)))

    def _embed(self, stage: str, pixels: Sequence[np.ndarray]) -> list[np.ndarray]:
        # A full block would cost a lone picture 32 times its time, for the last digits alone.
        found = responses(self.classifier, _stacked(pixels), [stage], filled_up=False)
        return list(found[stage].flatten(1).cpu().numpy())


def _stacked(pixels: Sequence[np.ndarray]) -> Tensor:
    """uint8 `[N,3,S,S]`, channels-last in memory, as the views like it."""
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
