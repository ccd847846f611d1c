"""A folder of binary codes that `alexnet codes fit` wrote. It needs the features that it was made from no more.

codes.npy           uint8 [N, bits/8], a row an image, eight bits a byte
coder.safetensors   the auto-encoder's half that makes codes of vectors
images.csv          row,path,label, as the features have it
codes.json          bits, stage, settings, errors by epoch; what features.json holds
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from alexnet import arrays, files
from alexnet.errors import InputError, counted
from alexnet.features.coder import Coder, Progress, Settings, fit
from alexnet.features.folder import Features, read_images

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Codes:
    """A folder of codes: for each of N images one row."""

    path: Path
    stage: str
    """Whose vectors they are codes of."""
    paths: tuple[str, ...]
    """N, relative to the source."""
    labels: tuple[str, ...]
    """N, the names of classes; "" where there are none."""
    packed: np.ndarray
    """uint8 `[N, bits/8]`."""
    coder: Coder
    described: dict[str, Any]
    """What features.json held."""
    fitted: dict[str, Any]
    """Settings, and the errors of each epoch, as JSON values."""

    @classmethod
    def open(cls, path: str | Path) -> "Codes":
        """The codes in the folder `path`.

        Raises:
            InputError: there are none, they are damaged, or a newer version of the package made them.
        """
        path = Path(path)
        if not (path / "codes.json").is_file():
            raise InputError(f"{path} is no folder of codes; `alexnet codes fit FEATURES {path}` makes one.")
        data = files.read_json(path / "codes.json")
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError(f"{path} has another format than this version reads ({FORMAT}); fit the codes anew.")
        paths, labels = read_images(path)
        _require_whole(path / "codes.json", data)
        try:
            packed = np.load(path / "codes.npy", allow_pickle=False)
            coder = _coder(load_file(path / "coder.safetensors"))
        except (OSError, ValueError, EOFError, KeyError, SafetensorError) as error:
            raise InputError(f"{path} is damaged ({error}); fit the codes anew.") from None
        if packed.dtype != np.uint8 or packed.shape != (len(paths), coder.bits // 8):
            raise InputError(f"{path} is damaged: its files disagree on images or bits; fit the codes anew.")
        return cls(path, data["stage"], paths, labels, packed, coder, data["features"], data["fitted"])

    def __len__(self) -> int:
        return len(self.paths)


def codes(
    features: str | Path,
    out: str | Path,
    settings: Settings | None = None,
    *,
    stage: str | None = None,
    say: Callable[[Progress], object] = lambda _: None,
) -> Codes:
    """Binary codes of the features' images in the new folder `out`, by an auto-encoder fitted to their vectors.

    Finished ones are opened. Labels are not used.

    Args:
        features: a folder that `embed` wrote.
        settings: all that decides the fit; the paper's "short" is here 32 to 256 bits.
        stage: which of the features' stages, where there are several.
        say: told of each epoch.

    Raises:
        InputError: the features cannot be read, are too few, or `out` holds something else.
    """
    opened, out, settings = Features.open(features), Path(out), settings or Settings()
    vectors = opened.vectors(stage)
    name = stage or opened.stages[0]
    asked = {"features": opened.described, "stage": name}
    if (out / "codes.json").is_file():
        found = Codes.open(out)
        if {"features": found.described, "stage": found.stage} != asked or found.fitted["settings"] != asdict(settings):
            raise InputError(f"{out} holds codes of other features, or fitted otherwise; name another folder.")
        return found
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        left = {"codes.npy", "coder.safetensors", "images.csv"}
        if not out.is_dir() or {file.name for file in out.iterdir() if not file.name.startswith(".")} - left:
            raise InputError(f"{out} exists and holds no codes; name a folder that does not exist yet.")
    coder, history = fit(vectors, settings, say)
    arrays.write(out / "codes.npy", coder.encode(vectors))
    with files.write_aside(out / "coder.safetensors") as aside:
        save_file(_tensors(coder), aside)
    files.write_bytes(out / "images.csv", (opened.path / "images.csv").read_bytes())
    fitted = {"settings": asdict(settings), "epochs": [each._asdict() for each in history]}
    files.write_json(out / "codes.json", {"format": FORMAT, "bits": settings.bits, **asked, "fitted": fitted})
    return Codes.open(out)


def poor(codes: Codes) -> str | None:
    """A sentence of warning where the best epoch rebuilt what was held out no better than its mean would."""
    error = min(each["validation"] for each in codes.fitted["epochs"])
    if error < 1:
        return None
    return (
        f"the held-out error is {error:.2f}, and 1 is that of the mean alone: from {counted(len(codes), 'vector')} "
        "nothing was learnt that holds for other images; fit to more images (thousands), or search the features."
    )


def _require_whole(file: Path, data: dict[str, Any]) -> None:
    """Nothing, if codes.json holds all that `Codes` says, of its kind."""
    for name, kind in (("stage", str), ("features", dict), ("fitted", dict)):
        if name not in data:
            raise InputError(f"{file} is damaged: it lacks {name}; fit the codes anew.")
        if not isinstance(data[name], kind) or (name == "fitted" and {"settings", "epochs"} - {*data[name]}):
            raise InputError(f"{file} is damaged: {name} is {str(data[name])[:40]}; fit the codes anew.")


def _tensors(coder: Coder) -> dict[str, Any]:
    layers = {f"{i}.{n}": value for i, pair in enumerate(coder.layers) for n, value in zip("wb", pair, strict=True)}
    return {"centre": coder.centre, **{name: value.contiguous() for name, value in layers.items()}}


def _coder(tensors: dict[str, Any]) -> Coder:
    layers = [(tensors[f"{i}.w"], tensors[f"{i}.b"]) for i in range((len(tensors) - 1) // 2)]
    lengths = [len(tensors["centre"]), *(len(biases) for _, biases in layers)]
    for i, (weights, _) in enumerate(layers):
        if weights.shape != (lengths[i + 1], lengths[i]):
            raise ValueError(f"layer {i} is {list(weights.shape)}")
    if not layers or lengths[-1] % 8:
        raise ValueError("its coder has no layers, or bits that do not fill bytes")
    return Coder(tensors["centre"], tuple(layers))
