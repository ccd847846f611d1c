"""The classifier: a network with its views and classes, in one file; from a picture to its answers."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from alexnet import devices, machine
from alexnet.config import nearest
from alexnet.data.decoding import Refused, opened
from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views, centre_view, nine_views, ten_views
from alexnet.errors import InputError
from alexnet.evaluation import classifier_file, metrics
from alexnet.evaluation.classifier_file import FIELDS, Description
from alexnet.evaluation.classifier_file import find as find
from alexnet.evaluation.prediction import Prediction as Prediction
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network

ViewsName = Literal["centre", "ten", "nine"]
Image = str | Path | bytes | PIL.Image.Image | np.ndarray | Tensor
"""A file's path, a file's bytes, Pillow's image, RGB uint8 `[H,W,3]` as an array, or `[3,H,W]` as a tensor."""

_SHOWN = {"centre": (1, centre_view), "ten": (10, ten_views), "nine": (9, nine_views)}
_CROPS = 128  # in the network at once, whatever the number of views: ten views of 128 images would be 770 MB
_DECODED = 64  # images decoded ahead of the network
_LOADING = threading.Lock()


@dataclass(eq=False)
class Classifier:
    """A network and all that a picture needs to become an answer. It computes in float32."""

    network: Network
    views: Views
    statistics: Statistics
    classes: tuple[ClassName, ...]
    """In the order of the network's outputs."""
    squaring: Squaring = field(default_factory=Squaring)
    """How a picture becomes the square of which a view is cut."""
    temperature: float = 1.0
    """Logits are divided by it."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """What it was trained by, as JSON values."""
    lineage: Sequence[Any] = ()
    """The classifiers that it was trained on from, oldest first, as JSON values."""
    commit: str = ""

    @classmethod
    def load(cls, source: str | Path, device: str = "auto", best: bool = False) -> "Classifier":
        """The classifier of a run folder, or in a file.

        Args:
            best: of a run, the one at the lowest validation error rather than the one after the last epoch.

        Raises:
            InputError: there is none, or the file is damaged or of a newer format.
        """
        described, tensors = classifier_file.read(find(source, best))
        place = devices.choose(device)
        statistics = Statistics(tensors.pop("mean").clone(), tensors.pop("covariance").clone()).to(place)
        network = Network(described.network)
        network.load_whole(tensors)
        network.to(place).eval()
        return cls(network, statistics=statistics, **described.fields())

    def save(self, path: str | Path, half: bool = False) -> None:
        """Nothing; the classifier is in the file `path`, whole; the same content gives the same bytes.

        Args:
            half: store the weights in float16, at half the size; they are computed with in float32 all the same.
        """
        described = self.described()
        weights = {name: value.half() if half else value for name, value in self.network.whole().items()}
        statistics = {"mean": self.statistics.mean, "covariance": self.statistics.covariance}
        classifier_file.write(Path(path), described, weights | statistics)

    def described(self) -> Description:
        """What the classifier is besides its tensors, as its file says it.

        Raises:
            InputError: its network has no configuration that a file could hold.
        """
        network = self.network.config
        if not isinstance(network, AlexNetConfig | Cifar10Config):
            raise InputError(f"a file can hold networks of AlexNetConfig and Cifar10Config, not of {network!r}.")
        own = {name: getattr(self, name) for name in FIELDS if name != "squaring"}
        return Description(network=network, **own, **asdict(self.squaring))

    @property
    def size(self) -> int:
        """The side of the square that a picture becomes."""
        return self.squaring.size

    @property
    def labels(self) -> list[str]:
        """The classes as people read them: the words, with the name behind where two classes have the same words."""
        words = [entry.words or entry.name for entry in self.classes]
        several = {word for word in words if words.count(word) > 1} if len(set(words)) < len(words) else set()
        return [f"{w} ({c.name})" if w in several else w for w, c in zip(words, self.classes, strict=True)]

    def logits(self, images: Tensor, views: ViewsName = "centre") -> Tensor:
        """float32 `[N, V, K]`: what the network puts out for each of V views, on the first device.

        The temperature is not applied.

        Args:
            images: uint8 `[N,3,S,S]`, S the classifier's size.

        Raises:
            InputError: there are no views of that name.
        """
        if views not in _SHOWN:
            raise InputError(
                f"there are no views {views!r}{nearest(str(views), _SHOWN)}; there are {', '.join(_SHOWN)}."
            )
        count, show = _SHOWN[views]
        step = max(1, _CROPS // count)
        device = self.network.devices[0]
        found = [torch.empty(0, count, len(self.classes), device=device)]
        with self._computing():
            for start in range(0, len(images), step):
                crops = show(images[start : start + step].to(device), self.views, self.statistics)
                found.append(self.network(crops.flatten(0, 1)).float().unflatten(0, (-1, count)))
        return torch.cat(found)

    def log_probabilities(self, images: Tensor, views: ViewsName = "centre") -> Tensor:
        """float32 `[N, K]`: the logarithm of each class's probability, averaged over views, on the first device.

        Logarithms keep the loss of an image finite that the network holds to be impossible.

        Args:
            images: uint8 `[N,3,S,S]`, S the classifier's size.

        Raises:
            InputError: there are no views of that name.
        """
        return metrics.averaged(self.logits(images, views), self.temperature)

    def probabilities(self, images: Image | Iterable[Image], views: ViewsName = "centre") -> Tensor:
        """float32 `[N, K]`, rows that sum to 1: the mean of the softmax over views.

        Args:
            images: as `predict` takes them, or uint8 `[N,3,S,S]` as `pixels` gives them.

        Raises:
            InputError: an image cannot be read.
        """
        if not (isinstance(images, Tensor) and images.shape[1:] == (3, self.size, self.size)):
            images = self.pixels(images)
        return self.log_probabilities(images, views).exp()

    def predict(
        self, images: Image | Iterable[Image], top: int = 5, views: ViewsName = "centre"
    ) -> list[list[tuple[str, float]]]:
        """For each image the `top` most probable labels with their probabilities, best first.

        Raises:
            InputError: an image cannot be read; `predictions` goes on with the others instead.
        """
        found = []
        for prediction in self.predictions(images, top, views):
            if prediction.error is not None:
                raise InputError(f"{prediction.image}: {prediction.error}")
            found.append(list(prediction.answers))
        return found

    def predictions(
        self, images: Image | Iterable[Image], top: int = 5, views: ViewsName = "centre"
    ) -> Iterator[Prediction]:
        """A `Prediction` for each image, in order, as they are ready; one that cannot be read tells the reason."""
        if top < 1:
            raise InputError(f"top is {top}; at least one answer is needed.")
        rest, number, labels = iter(_several(images)), 0, self.labels
        with ThreadPoolExecutor(machine.cores()) as pool:
            while chunk := list(islice(rest, _DECODED)):
                pixels = list(pool.map(self._pixels_or_reason, chunk))
                good = [p for p in pixels if isinstance(p, np.ndarray)]
                ranked = iter(self._ranked(_batch(good, self.size), top, views))
                for image, result in zip(chunk, pixels, strict=True):
                    number += 1
                    name = str(image) if isinstance(image, str | Path) else f"image {number}"
                    if isinstance(result, str):
                        yield Prediction(name, error=result)
                    else:
                        yield Prediction(name, tuple((labels[i], p) for i, p in next(ranked)))

    def pixels(self, images: Image | Iterable[Image]) -> Tensor:
        """uint8 `[N,3,S,S]`: the images as they would be stored in a raw prepared set.

        Raises:
            InputError: an image cannot be read.
        """
        stored = []
        for number, image in enumerate(_several(images), start=1):
            result = self._pixels_or_reason(image)
            if isinstance(result, str):
                raise InputError(f"{image if isinstance(image, str | Path) else f'image {number}'}: {result}")
            stored.append(result)
        return _batch(stored, self.size)

    def stages(
        self,
        images: Image | Iterable[Image],
        only: str | Collection[str] | None = None,
        edit: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """The network's stages for the centre views of `images`, by name, as `Network.stages` gives them.

        Args:
            only: the name of the stage wanted, or several.
            edit: what to make of a stage on the way, by name.

        Raises:
            InputError: there is no such stage, or an image cannot be read.
        """
        stored = self.pixels(images).to(self.network.devices[0])
        with self._computing():
            return self.network.stages(centre_view(stored, self.views, self.statistics)[:, 0], only, edit)

    def _ranked(self, images: Tensor, top: int, views: ViewsName) -> list[list[tuple[int, float]]]:
        best = self.probabilities(images, views).cpu().topk(min(top, len(self.classes)), dim=1)
        return [list(zip(*row, strict=True)) for row in zip(best.indices.tolist(), best.values.tolist(), strict=True)]

    def _pixels_or_reason(self, image: Image) -> np.ndarray | str:
        """uint8 `[S,S,3]`, or why there are none."""
        try:
            return _stored(image, self.squaring)
        except Refused as refused:
            return refused.reason
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """In float32 and without dropout or gradients, whatever the network is in the middle of."""
        training = self.network.training
        self.network.eval()
        try:
            # Not inference_mode: what the statistics compute once is used in training too.
            with torch.no_grad(), torch.autocast(self.network.devices[0].type, enabled=False):
                yield
        finally:
            self.network.train(training)


def _several(images: Image | Iterable[Image]) -> Iterable[Image]:
    """Images one by one, a single one also being some."""
    single = isinstance(images, str | Path | bytes | PIL.Image.Image) or (
        isinstance(images, np.ndarray | Tensor) and images.ndim == 3
    )
    return [images] if single else images  # type: ignore[list-item,return-value]


def _batch(pictures: list[np.ndarray], size: int) -> Tensor:
    """uint8 `[N,3,S,S]` of N pictures `[S,S,3]`; channels-last in memory, as the views like it."""
    stacked = np.stack(pictures) if pictures else np.empty((0, size, size, 3), np.uint8)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def _stored(image: Image, squaring: Squaring) -> np.ndarray:
    """uint8 `[S,S,3]`."""
    if isinstance(image, str | Path | bytes):
        return squaring.of_file(image if isinstance(image, bytes) else Path(image).read_bytes())
    if isinstance(image, PIL.Image.Image):
        with _LOADING:  # one not read from its file yet may be among the images twice
            pixels = opened(image, orientation=squaring.orientation)
        return squaring.of_pixels(pixels)
    if isinstance(image, np.ndarray):
        return squaring.of_pixels(image)
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.uint8:
        raise Refused(f"tensor of shape {list(image.shape)} and type {image.dtype}, not [3,H,W] of torch.uint8")
    return squaring.of_pixels(image.detach().cpu().permute(1, 2, 0).numpy())
