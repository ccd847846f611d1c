"""A folder of responses that `alexnet embed` wrote: its format, and the way to its arrays.

STAGE.npy       float32 or float16 [N, ...], an ordinary numpy array, a row an image
images.csv      row,path,label: what each row is; paths relative to the source, labels where there are any
rejected.csv    path,reason of what could not be used, and so has no row
features.json   classifier, source, preprocessing, edit: where the numbers come from
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alexnet import arrays, files
from alexnet.config import nearest
from alexnet.errors import InputError

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Features:
    """A folder of responses: for each of N images one row of each stage."""

    path: Path
    stages: tuple[str, ...]
    """In the network's order."""
    paths: tuple[str, ...]
    """N, relative to the source."""
    labels: tuple[str, ...]
    """N, the names of classes; "" where there are none."""
    described: dict[str, Any]
    """What features.json holds."""

    @classmethod
    def open(cls, path: str | Path) -> "Features":
        """The features in the folder `path`.

        Raises:
            InputError: there are none, they are unfinished or damaged, or a newer version of the package made them.
        """
        path = Path(path)
        if not (path / "features.json").is_file():
            if partial(path).is_dir():
                raise InputError(f"{path} is not finished: repeat its `alexnet embed` command, which goes on.")
            raise InputError(f"{path} is no folder of features; `alexnet embed RUN SOURCE {path}` makes one.")
        described = files.read_json(path / "features.json")
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise InputError(f"{path} has another format than this version reads ({FORMAT}); embed it anew.")
        paths, labels = read_images(path)
        try:
            images, kept = described["images"], np.dtype(described["type"])
            shapes = {str(entry["name"]): (images, *entry["shape"]) for entry in described["stages"]}
        except (KeyError, TypeError):
            raise InputError(
                f"{path / 'features.json'} is damaged: it lacks what it should tell; embed it anew."
            ) from None
        found = cls(path, tuple(shapes), paths, labels, described)
        for name, shape in shapes.items():
            mapped = found._mapped(name)
            if len(paths) != images or mapped.shape != shape or mapped.dtype != kept:
                raise InputError(f"{path} is damaged: its files disagree on images or shapes; embed it anew.")
        return found

    def __len__(self) -> int:
        return len(self.paths)

    def stage(self, name: str | None = None) -> np.ndarray:
        """float32 or float16 `[N, ...]`, a memory map, read only: a stage, or the only one.

        Raises:
            InputError: there is no such stage, or no name was given and there are several.
        """
        if name is None and len(self.stages) > 1:
            raise InputError(f"{self.path} holds several stages; name one of {', '.join(self.stages)}.")
        if name is not None and name not in self.stages:
            there = f"{nearest(name, self.stages)}; there are {', '.join(self.stages)}"
            raise InputError(f"{self.path} holds no stage {name!r}{there}.")
        return self._mapped(name or self.stages[0])

    def vectors(self, name: str | None = None) -> np.ndarray:
        """float32 or float16 `[N, d]`: `stage(name)`, each row as one vector (maps, then rows, then columns)."""
        mapped = self.stage(name)
        return mapped.reshape(len(mapped), -1)

    def _mapped(self, name: str) -> np.ndarray:
        try:
            return arrays.mapped(self.path / f"{name}.npy")
        except InputError as error:
            raise InputError(f"{self.path / name}.npy is missing or damaged ({error}); embed it anew.") from None


def partial(path: Path) -> Path:
    """The folder beside `path` in which features grow until they are whole."""
    return path.with_name(path.name + ".partial")


def read_images(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(paths, labels) of the images.csv in the folder `path`."""
    try:
        with (path / "images.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
        if [row["row"] for row in rows] != [str(number) for number in range(len(rows))]:
            raise InputError(f"{path / 'images.csv'} is damaged: its rows are not numbered 0, 1, ...; embed it anew.")
        return tuple(row["path"] for row in rows), tuple(row["label"] for row in rows)
    except (OSError, KeyError, csv.Error) as error:
        raise InputError(f"{path / 'images.csv'} is missing or damaged ({error}); embed it anew.") from None
