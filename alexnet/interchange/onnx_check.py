"""An ONNX file beside PyTorch on the same pictures, in onnxruntime."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet.errors import InputError, counted
from alexnet.evaluation.classifier import Classifier
from alexnet.interchange.pictures import Pictures
from alexnet.interchange.shapes import require_package

LARGEST = 1e-4
"""The difference of a probability, or of a stage relative to its largest value, that rounding may make."""

_BATCH = 32
_STAGED = 8  # pictures whose stages are compared


@dataclass(frozen=True)
class Checked:
    """How far an ONNX file is from PyTorch."""

    pictures: str
    """What they are."""
    images: int
    largest: float
    """The largest difference of a probability."""
    same_top1: int
    """How many pictures have the same first answer."""
    stages: dict[str, float]
    """The largest difference of each stage asked for, relative to its largest value."""

    def to_json(self) -> dict[str, Any]:
        """The values by name."""
        return dict(vars(self))


def check(file: Path, classifier: Classifier, pictures: Pictures, stages: Collection[str] = ()) -> Checked:
    """The differences between the graph in `file` and `classifier`, in batches of one, of 32 and of what is left.

    Raises:
        InputError: a first answer differs, or anything by more than rounding; or onnxruntime is missing.
    """
    require_package("onnxruntime", "onnx", "an ONNX file's check")
    session = _session(file)
    images = pictures.images
    largest, same = 0.0, 0
    for batch in [images[:1], *torch.split(images[1:], _BATCH)]:
        if not len(batch):
            continue
        expected = classifier.probabilities(batch).cpu()
        (found,) = (torch.from_numpy(a) for a in session.run(["probabilities"], {"images": _array(batch)}))
        largest = max(largest, float((found - expected).abs().max()))
        same += int((found.argmax(1) == expected.argmax(1)).sum())
    differences = _stages(session, classifier, images[:_STAGED], stages)
    checked = Checked(pictures.told, len(images), largest, same, differences)
    worst = max([largest, *differences.values()])
    if same < len(images) or not worst <= LARGEST:
        raise InputError(
            f"onnxruntime and PyTorch differ on {pictures.told}: the same first answer on {same} of "
            f"{counted(len(images), 'picture')}, the largest difference {worst:.2g} ({LARGEST:g} is rounding); "
            "nothing was written."
        )
    return checked


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _stages(session: Any, classifier: Classifier, images: Tensor, names: Collection[str]) -> dict[str, float]:
    if not names:
        return {}
    wanted = list(dict.fromkeys(names))
    found = session.run(wanted, {"images": _array(images)})
    pictures = [image.permute(1, 2, 0).numpy() for image in images]
    expected = classifier.stages(pictures, only=wanted)
    differences = {}
    for name, values in zip(wanted, found, strict=True):
        theirs = expected[name].cpu()
        scale = max(float(theirs.abs().max()), 1e-30)
        differences[name] = float((torch.from_numpy(values) - theirs).abs().max()) / scale
    return differences


def _array(images: Tensor) -> Any:
    return images.cpu().contiguous().numpy()
