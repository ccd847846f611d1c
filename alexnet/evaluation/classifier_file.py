"""The classifier's file: safetensors whose metadata is one JSON object under the key "alexnet". Nothing is unpickled.

The tensors are the weights, whole, by name ("conv1.weight" ...), and "mean" and "covariance" of the training set.
The JSON object is a `Description` with sorted keys: no date, path or host, so the same content gives the same bytes.
"""

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from alexnet import config, files
from alexnet.data.shards import ClassName
from alexnet.data.squaring import Filter, Geometry, Squaring
from alexnet.data.views import Views
from alexnet.errors import InputError, counted
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.rows import input_shapes, parameter_shapes

FORMAT = 1
FIELDS = ("views", "classes", "squaring", "temperature", "recipe", "lineage", "commit")
"""The fields that a `Classifier` has besides its network and statistics."""

_BLOCK = 1 << 22
_HEADER = 100_000_000  # bytes; what safetensors itself allows


@dataclass(frozen=True)
class Description:
    """What a classifier is besides its tensors, in the fields that a file has."""

    network: AlexNetConfig | Cifar10Config
    views: Views
    classes: tuple[ClassName, ...]
    size: int
    geometry: Geometry
    filter: Filter
    orientation: bool
    temperature: float
    recipe: dict[str, Any]
    lineage: tuple[Any, ...]
    commit: str

    @property
    def squaring(self) -> Squaring:
        """How a picture becomes the square of which a view is cut."""
        return Squaring(self.size, self.geometry, self.filter, self.orientation)

    def fields(self) -> dict[str, Any]:
        """The values of `FIELDS`, by name."""
        return {name: getattr(self, name) for name in FIELDS}

    def to_json(self) -> dict[str, Any]:
        """The object that a file holds, its format's number with it."""
        values = {name: value for name, value in config.to_json(self).items() if name != "class"}
        return {"format": FORMAT, **values}


def write(path: Path, described: Description, tensors: Mapping[str, Tensor]) -> None:
    """Nothing; the classifier is in the file `path`, whole; the same content gives the same bytes."""
    text = json.dumps(described.to_json(), sort_keys=True, separators=(",", ":"))
    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with files.write_aside(path) as aside:
        # One key: safetensors writes several in random order.
        save_file(ready, aside, {"alexnet": text})


def read(path: Path) -> tuple[Description, dict[str, Tensor]]:
    """The description in the file `path`, and its tensors: those of the network and the statistics, in float32.

    Only the covariance is float64. Tensors may be parts of the mapped file: copy those to keep.

    Raises:
        InputError: the file is damaged, no classifier, of a newer format, or its tensors do not fit its description.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no classifier file, or a damaged one ({error}); take another copy.") from None
    if "alexnet" not in metadata:
        raise InputError(f"{path} holds tensors without a classifier's description; only a run's classifiers have one.")
    described = _described(path, metadata["alexnet"])
    _require_tensors(path, described, tensors)
    return described, {n: value.double() if n == "covariance" else value.float() for n, value in tensors.items()}


def set_temperature(path: Path, temperature: float, out: Path) -> None:
    """Nothing; `out` holds the classifier of the file `path` at that temperature, its tensors as they were stored.

    Raises:
        InputError: `path` is no classifier file.
    """
    described, _ = read(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    write(out, dataclasses.replace(described, temperature=temperature), tensors)


def checksum(path: Path) -> str:
    """The SHA-256 of a classifier file's tensors and their names, in hexadecimal; calibration leaves it as it is.

    Raises:
        InputError: `path` is no safetensors file.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        try:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), _HEADER)))
            header.pop("__metadata__", None)
        except (ValueError, AttributeError, TypeError):
            raise InputError(f"{path} is no classifier file, or a damaged one; take another copy.") from None
        digest.update(json.dumps(header, sort_keys=True).encode())
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def shipped() -> list[str]:
    """The names of the classifiers that come with the package."""
    folder = resources.files("alexnet") / "shipped"
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors"))


def find(source: str | Path, best: bool = False) -> Path:
    """The classifier file of a run folder, the file itself, or one that comes with the package by its name.

    Args:
        best: of a run, the one at the lowest validation error rather than the one after the last epoch.

    Raises:
        InputError: there is none; the sentence names those that come with the package.
    """
    path = Path(source)
    if path.is_dir():
        file = path / ("best.safetensors" if best else "weights.safetensors")
        if not file.is_file():
            raise InputError(f"{path} holds no {file.name}: it is no run, or its first epoch is not finished yet.")
        return file
    if path.exists():
        return path
    if str(source) in shipped():
        return Path(str(resources.files("alexnet") / "shipped" / f"{source}.safetensors"))
    known = f", nor one that comes with the package ({', '.join(shipped())})" if shipped() else ""
    beside = [str(each) for each in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = config.nearest(str(source), [*beside, *shipped()])
    raise InputError(f"{source} is neither a run folder nor a classifier file{known}{meant}.")


def parsed(path: Path, text: str, defaults: list[str]) -> Description:
    """The description that the JSON `text` of a file gives; fields that it lacks are added to `defaults`.

    Raises:
        InputError: it is damaged, of a newer format, or contradicts itself.
    """
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path}: its description is not valid JSON ({error}); take another copy.") from None
    number = data.pop("format", None) if isinstance(data, dict) else None
    if not isinstance(number, int) or number > FORMAT:
        raise InputError(f"{path} has format {number}; this alexnet reads up to {FORMAT}: upgrade the package.")
    data.setdefault("filter", "area")  # before there was a choice nothing was written
    described: Description = config.from_json(Description, data, str(path), defaults)
    if described.network.classes != len(described.classes):
        names = counted(len(described.classes), "class", "classes")
        raise InputError(f"{path} names {names} for {described.network.classes} outputs.")
    if described.views.crop != described.network.input:
        raise InputError(f"{path} cuts views of {described.views.crop} for inputs of {described.network.input}.")
    if not (math.isfinite(described.temperature) and described.temperature > 0):
        raise InputError(f"{path} has temperature {described.temperature}; it must be above 0 and finite.")
    return described


def _described(path: Path, text: str) -> Description:
    defaults: list[str] = []
    described = parsed(path, text, defaults)
    if defaults:
        print(f"alexnet: {path} does not say {', '.join(defaults)}; taking the defaults.", file=sys.stderr)
    return described


def _require_tensors(path: Path, described: Description, tensors: Mapping[str, Tensor]) -> None:
    """Nothing when names and shapes are those described, so that a wrong file costs no memory."""
    size, table = described.size, described.network.table()
    before = input_shapes(table, described.network.input)
    expected = {
        f"{row.name}.{n}": shape for row in table for n, shape in parameter_shapes(row, before[row.name]).items()
    }
    expected |= {"mean": (3, size, size), "covariance": (3, 3)}
    for name in sorted({*expected, *tensors}):
        wanted = list(expected[name]) if name in expected else "no such tensor"
        found = list(tensors[name].shape) if name in tensors else "missing"
        if wanted != found:
            raise InputError(f"{path}: the tensor {name!r} is {found}; {wanted} was expected.")
