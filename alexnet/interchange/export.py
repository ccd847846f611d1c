"""A classifier to files that other programs read: safetensors, torchvision's state dict, Caffe's blobs, ONNX."""

import dataclasses
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from alexnet import files
from alexnet.data.loader import Loader, Loading
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.evaluate import evaluate
from alexnet.interchange import npz, onnx_check, onnx_graph, pictures, torchvision_state
from alexnet.interchange.onnx_check import Checked
from alexnet.interchange.recognise import SQUARINGS, VIEWS
from alexnet.model import rows
from alexnet.model.network import Network
from alexnet.training.run import own_set

Format = Literal["safetensors", "torchvision", "caffe", "onnx"]

_SUFFIXES: dict[Format, tuple[str, ...]] = {
    "safetensors": (".safetensors",),
    "torchvision": (".pth", ".pt", ".safetensors"),
    "caffe": (".npz",),
    "onnx": (".onnx",),
}
"""What a file of each format may be called; a suffix alone means the first format that has it."""


@dataclass(frozen=True)
class Cost:
    """What float16 weights cost on a validation split."""

    images: int
    top1_error: float
    """In float32, and as exported:"""
    half_top1_error: float
    changed: int
    """Images whose first answer is another."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked."""

    file: Path
    format: Format
    bytes: int
    checked: Checked | None
    """Of an ONNX file; the others were read back, bit for bit."""
    cost: Cost | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The values by name."""
        return {
            "file": str(self.file),
            "format": self.format,
            "bytes": self.bytes,
            "checked": self.checked.to_json() if self.checked else None,
            "half": vars(self.cost) if self.cost else None,
            "notes": list(self.notes),
        }


def export(
    run: str | Path,
    file: str | Path,
    format: Format | None = None,
    *,
    half: bool = False,
    data: str | Path | None = None,
    stages: Collection[str] = (),
    best: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> Exported:
    """What was written to `file`; nothing is when a check fails.

    Args:
        run: a run folder, a classifier file, or a classifier that comes with the package.
        format: by default what the suffix says: .safetensors, .pth (torchvision), .npz (caffe), .onnx.
        half: weights in float16; what it costs is measured on the validation split of `data`.
        data: a prepared set, or for an ONNX file a folder of photographs too, on which the export is checked; by
            default the set that the run learnt from.
        stages: of an ONNX file, rows whose outputs it gives besides.
        best: of a run, the classifier at the lowest validation error.
        progress: told the number of images of each batch while the cost of `half` is measured.

    Raises:
        InputError: the format does not fit, there are no pictures to check on, or a check fails.
    """
    file = Path(file)
    kind = _format(file, format)
    if stages and kind != "onnx":
        raise InputError(f"stages are outputs of an ONNX file; {kind} holds weights alone.")
    classifier = Classifier.load(run, "cpu", best)
    # Of weights alone nothing is measured.
    source = Path(data) if data else _own_set(run) if half or kind == "onnx" else None
    cost = _cost(classifier, source, progress) if half else None
    if half:
        classifier = _halved(classifier)
    checked = None
    with files.write_aside(file) as aside:
        if kind == "onnx":
            checked = _write_onnx(aside, classifier, half, stages, source, file)
        else:
            _write_weights(aside, file, classifier, kind, half)
        size = aside.stat().st_size
    return Exported(file, kind, size, checked, cost, _notes(classifier, kind))


def _format(file: Path, asked: Format | None) -> Format:
    """The format asked for, or the one that the suffix means."""
    suffix = file.suffix.lower()
    if asked:
        if suffix not in _SUFFIXES[asked]:
            raise InputError(f"{file}: the format {asked} goes into {' or '.join(_SUFFIXES[asked])}; name it so.")
        return asked
    for format, suffixes in _SUFFIXES.items():
        if suffix in suffixes:
            return format
    known = sorted({suffix for suffixes in _SUFFIXES.values() for suffix in suffixes})
    raise InputError(f"{file} has a suffix that names no format; a file is called {', '.join(known)}.")


def _write_onnx(
    aside: Path, classifier: Classifier, half: bool, stages: Collection[str], source: Path | None, file: Path
) -> Checked:
    if source is None:
        raise InputError(f"{file} is checked on real pictures: give --data, a prepared set or a folder of photographs.")
    shown = pictures.of(source, classifier)
    aside.write_bytes(onnx_graph.model(classifier, stages, half).SerializeToString(deterministic=True))
    return onnx_check.check(aside, classifier, shown, stages)


def _write_weights(aside: Path, file: Path, classifier: Classifier, kind: Format, half: bool) -> None:
    """Nothing; the file holds the weights, and was read back."""
    if kind == "safetensors":
        classifier.save(aside, half)
        found = Classifier.load(aside, "cpu").network.whole()
        _require_same(found, classifier.network.whole(), file)
    elif kind == "torchvision":
        state = _typed(torchvision_state.state(classifier.network), half)
        if file.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file, save_file

            save_file(state, aside)
            _require_same(load_file(aside), state, file)
        else:
            torch.save(state, aside)
            _require_same(torch.load(aside, weights_only=True), state, file)
    else:
        blobs = {name: array.numpy() for name, array in _typed(_blobs(classifier), half).items()}
        with aside.open("wb") as out:
            np.savez(out, allow_pickle=False, **blobs, **_beside(classifier))
        held = npz.read_npz(aside).tensors
        _require_same(
            {n: torch.from_numpy(held[n].read()) for n in blobs}, {n: torch.from_numpy(blobs[n]) for n in blobs}, file
        )


def _blobs(classifier: Classifier) -> dict[str, Tensor]:
    """Whole tensors in Caffe's layout, the kernels that read the images turned to blue, green, red."""
    state = classifier.network.whole()
    first = next(row.name for row in classifier.network.rows if isinstance(row, rows.Convolution))
    return state | {f"{first}.weight": state[f"{first}.weight"].flip(1)}


def _beside(classifier: Classifier) -> dict[str, np.ndarray]:
    """What makes the blobs a classifier again: its statistics, and its description as an array of text."""
    statistics = classifier.statistics
    return {
        "mean": statistics.mean.cpu().numpy(),
        "covariance": statistics.covariance.numpy(),
        npz.DESCRIPTION: np.array(json.dumps(classifier.described().to_json(), sort_keys=True)),
    }


def _typed(state: dict[str, Tensor], half: bool) -> dict[str, Tensor]:
    return {name: (value.half() if half else value).contiguous() for name, value in state.items()}


def _halved(classifier: Classifier) -> Classifier:
    """The same classifier, its weights rounded to float16 and held in float32."""
    network = Network(classifier.network.config)
    network.load_whole({name: value.half().float() for name, value in classifier.network.whole().items()})
    if not all(bool(torch.isfinite(value).all()) for value in network.whole().values()):
        raise InputError("a weight is too large for float16; export without --half.")
    return dataclasses.replace(classifier, network=network.eval())


def _own_set(run: str | Path) -> Path | None:
    """The set that a run learnt from, while it is there; nothing of a lone file. One that has changed is refused."""
    recorded = Path(run) / "data.json"
    there = recorded.is_file() and (Path(files.read_json(recorded)["path"]) / "dataset.json").is_file()
    return own_set(run).path if there else None


def _cost(classifier: Classifier, source: Path | None, progress: Callable[[int], object]) -> Cost:
    if source is None:
        raise InputError("what float16 costs is measured: give --data, a prepared set with a validation split.")
    prepared = PreparedSet.open(source)
    loader = Loader(prepared.split("val"), Loading(), classifier.network.devices[0], cache="none")
    whole, halved = (
        evaluate([one], loader, classes=prepared.classes, progress=progress)
        for one in (classifier, _halved(classifier))
    )
    changed = int((whole.answers != halved.answers).sum())
    return Cost(whole.images, whole.top1_error, halved.top1_error, changed)


def _require_same(found: dict[str, Tensor], expected: dict[str, Tensor], file: Path) -> None:
    if found.keys() != expected.keys() or not all(torch.equal(found[name], expected[name]) for name in expected):
        raise InputError(f"{file} did not read back as it was written; nothing was kept. Is the disk sound?")


def _notes(classifier: Classifier, kind: Format) -> tuple[str, ...]:
    """What the weights alone do not say."""
    views, way = classifier.views, classifier.squaring
    own = (views.mean, views.divisor, way.geometry, way.filter)
    views_, way_ = VIEWS["torchvision"], SQUARINGS["torchvision"]
    if kind == "torchvision" and own != (views_.mean, views_.divisor, way_.geometry, way_.filter):
        mean = "the mean image" if views.mean in ("at_crop", "central") else f"the mean {views.mean}"
        return (
            f"a state dict holds no preprocessing: this network expects squares by {way.geometry} and {way.filter}, "
            f"0..255 less {mean} over {views.divisor}",
        )
    if kind == "caffe":
        return ("conv1 reads blue, green, red, as Caffe does; the mean image lies in the file as red, green, blue",)
    return ()
