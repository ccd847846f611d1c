"""Weights of other libraries, and exports of this one, to a folder with a classifier."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet import files
from alexnet.errors import InputError, counted
from alexnet.evaluation.classifier import Classifier
from alexnet.interchange import assemble, caffemodel, npz, onnx_file, pictures, proof, state_files
from alexnet.interchange.proof import Seen, Spectrum
from alexnet.interchange.published import Published, known
from alexnet.interchange.recognise import NetworkName
from alexnet.interchange.weights import Weights

_READERS: Mapping[str, Callable[[Path], Weights]] = {
    ".pth": state_files.read_pth,
    ".pt": state_files.read_pth,
    ".safetensors": state_files.read_safetensors,
    ".caffemodel": caffemodel.read,
    ".npz": npz.read_npz,
    ".npy": npz.read_npy,
    ".onnx": onnx_file.read,
}


@dataclass(frozen=True)
class Imported:
    """What was imported, and what it showed of itself."""

    run: Path
    network: str
    parameters: int
    classes: int
    sha256: str
    """Of the file that was read."""
    published: Published | None
    notes: tuple[str, ...]
    kernels: Spectrum
    seen: Seen

    def to_json(self) -> dict[str, Any]:
        """The values by name."""
        return {
            "run": str(self.run),
            "network": self.network,
            "parameters": self.parameters,
            "classes": self.classes,
            "sha256": self.sha256,
            "published": vars(self.published) if self.published else None,
            "notes": list(self.notes),
            "kernels": {**vars(self.kernels), "trained": self.kernels.trained},
            "seen": self.seen.to_json(),
        }


def read(path: str | Path) -> Weights:
    """The tensors in a file of weights, by the reader that its suffix names; most are not read yet.

    Raises:
        InputError: there is no such file, it is of an unknown kind, or its reader refuses it.
    """
    path = Path(path)
    if path.suffix.lower() not in _READERS:
        raise InputError(f"{path} has a suffix that is not known; weights come as {', '.join(_READERS)}.")
    if not path.is_file():
        raise InputError(f"{path} does not exist, or is no file.")
    return _READERS[path.suffix.lower()](path)


def import_weights(
    file: str | Path,
    run: str | Path,
    *,
    classes: str | Path | None = None,
    features_only: bool = False,
    network: NetworkName | None = None,
    data: str | Path | None = None,
) -> Imported:
    """What was imported; the new folder `run` holds it as a whole classifier, weights.safetensors.

    Args:
        file: torchvision's .pth or .safetensors, Caffe's .caffemodel, a .npz of arrays by name, or what
            `alexnet.export` wrote.
        classes: a text file that names the outputs' classes, a line each.
        features_only: take the convolutions; the rest is drawn fresh, by seed 0.
        network: bvlc_alexnet or caffenet, where a file does not tell them apart.
        data: a prepared set or a folder of photographs to try it on; without it pictures are drawn.

    Raises:
        InputError: the file is none of these, damaged or dangerous; or there is something at `run`. Nothing is left.
    """
    file, run = Path(file), Path(run)
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise InputError(f"{run} exists; name a new folder.")
    there = next(place for place in run.absolute().parents if place.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file; name a folder that does not lie in it.")
    weights, digests = read(file), _digests(file)
    published = known(digests)
    request = assemble.Request(file, digests["sha256"], Path(classes) if classes else None, features_only, network)
    made = assemble.assembled(weights, request, published)
    aside = Path(tempfile.mkdtemp(dir=there, prefix=f".{run.name}."))
    try:
        aside.chmod(0o755)
        made.classifier.save(aside / "weights.safetensors")
        result = _proved(aside, run, made, digests["sha256"], published, Path(data) if data else None)
        files.write_json(aside / "import.json", {key: v for key, v in result.to_json().items() if key != "run"})
        run.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(run)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    files.flush(run.parent)
    return result


def _proved(
    aside: Path, run: Path, made: assemble.Assembled, sha256: str, published: Published | None, data: Path | None
) -> Imported:
    """The result, from the classifier as it lies in its file."""
    loaded = Classifier.load(aside, "cpu")
    state = loaded.network.whole()
    _require_same(state, made.classifier.network.whole())
    shown = pictures.of(data, loaded) if data else pictures.drawn(loaded)
    notes, spectrum = list(made.notes), proof.spectrum(proof.first_kernels(loaded))
    if not spectrum.trained:
        notes.append("the first kernels look like noise: these weights were never trained, or hardly")
    parameters = sum(tensor.numel() for tensor in state.values())
    numbers = (made.network, parameters, len(loaded.classes), sha256, published)
    return Imported(run, *numbers, tuple(notes), spectrum, proof.look(loaded, shown))


def _require_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    wrong = [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)]
    if wrong:
        raise InputError(f"{counted(len(wrong), 'tensor')} did not come back from the disk as written; try again.")


def _digests(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        found = {}
        for kind in ("sha1", "sha256"):
            file.seek(0)
            found[kind] = hashlib.file_digest(file, kind).hexdigest()
        return found
