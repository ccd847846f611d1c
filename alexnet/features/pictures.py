"""Pictures beside those nearest to them (figure 4, right), read again from where features came from."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import arrays, drawing, files
from alexnet.data.decoding import Refused
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.features.stimuli import Showing

_LETTERS = 18
DRAWN = 12
"""Rows of a figure at most."""

Read = Callable[[int], np.ndarray]
"""uint8 `[S,S,3]`: the image of a row of the features."""


def reader(described: dict[str, Any], paths: Sequence[str], showing: Showing, source: str | Path | None = None) -> Read:
    """What reads the image of a row, as the network was shown it.

    Args:
        described: what features.json holds.
        paths: the rows' images, relative to the source.
        source: where it is now, if it has moved.

    Raises:
        InputError: the source is not there; or a prepared set or an array is another. A folder's pictures are known by
            their names alone, and one that is missing is told of when it is read.
    """
    recorded = described["source"]
    place = Path(source or recorded["path"] or "")
    if source is None and recorded["path"] is None:
        raise InputError("these features are of an array that was never a file; without --out there is no picture.")
    if not place.exists():
        raise InputError(f"{place}, the source of the features, is not there; --source says where it is now.")
    if recorded["kind"] == "prepared":
        return _of_prepared(place, recorded)
    if recorded["kind"] == "array":
        return _of_array(place, recorded, paths, showing)

    def read(row: int) -> np.ndarray:
        file = place if recorded["kind"] == "picture" else place / paths[row]
        try:
            return showing.of_file(file.read_bytes())
        except (OSError, Refused) as error:
            raise InputError(f"{file} cannot be read ({error}); --source says where the images are now.") from None

    return read


def _of_prepared(place: Path, recorded: dict[str, Any]) -> Read:
    prepared = PreparedSet.open(place)
    if prepared.fingerprint != recorded["fingerprint"]:
        raise InputError(f"{place} is not the prepared set that the features are of: its content differs.")
    shards = prepared.split(recorded["split"])

    def read(row: int) -> np.ndarray:
        pixels: np.ndarray = shards.at([row])[0].transpose(1, 2, 0)
        return pixels

    return read


def _of_array(place: Path, recorded: dict[str, Any], paths: Sequence[str], showing: Showing) -> Read:
    array = arrays.mapped(place)
    if recorded["path"] is not None:
        found = files.checksum(place)
    else:  # it was never a file, and its pixels alone were recorded
        found = hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data).hexdigest()
    if found != recorded["fingerprint"]:
        raise InputError(f"{place} is not the array that the features are of: its content differs.")

    def read(row: int) -> np.ndarray:
        number = int(paths[row].rpartition("[")[2].rstrip("]"))
        return showing.of_pixels(np.asarray(array[number]))

    return read


def figure(rows: Sequence[tuple[str, np.ndarray, Sequence[int]]], labels: Sequence[str], read: Read) -> Figure:
    """Images on the left, each one's nearest in its row, with the names of their classes; the first twelve images.

    Args:
        rows: for each image its name, its pixels uint8 `[S,S,3]`, and the rows of its nearest.
        labels: the classes by row; "" where there are none.
    """
    rows = rows[:DRAWN]
    most = max((len(places) for _, _, places in rows), default=0)
    drawn = drawing.figure(1.3 * (most + 1) + 0.2, 0.2 + 1.5 * max(1, len(rows)))
    grid = drawn.add_gridspec(max(1, len(rows)), most + 2, width_ratios=[1, 0.12, *[1] * most])
    for number, (name, pixels, places) in enumerate(rows):
        _show(drawn.add_subplot(grid[number, 0]), pixels, Path(name).name, drawing.MUTED)
        for column, place in enumerate(places):
            _show(drawn.add_subplot(grid[number, column + 2]), read(place), labels[place], drawing.INK)
    return drawn


def _show(axes: Axes, pixels: np.ndarray, text: str, ink: str) -> None:
    drawing.bare(axes).imshow(pixels, interpolation="nearest" if len(pixels) < 64 else None)
    drawing.literal(axes.set_xlabel(drawing.words(text, _LETTERS), fontsize=7, color=ink))
