"""Pictures beside those nearest to them (figure 4, right), read again from where features came from."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import arrays, drawing, files
from alexnet.data.decoding import Refused
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError, counted
from alexnet.features.stimuli import Showing

_LETTERS = 20  # of the small size, below a picture
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


@dataclass(frozen=True, eq=False)
class Row:
    """An image with its nearest, to be drawn."""

    name: str
    label: str
    """Its class's name; "" where it is not known."""
    pixels: np.ndarray
    """uint8 `[S,S,3]`."""
    places: Sequence[int]
    """The rows of its nearest in the features."""
    distances: Sequence[float]
    """To them; whole numbers are bits."""


@dataclass(frozen=True, eq=False)
class Stored:
    """The images that were searched."""

    paths: Sequence[str]
    labels: Sequence[str]
    """Names of classes by row; "" where there are none."""
    words: Mapping[str, str]
    """What people call a class, where that is not its name."""
    read: Read
    crop: int
    """C: the network sees the central C×C."""


def figure(rows: Sequence[Row], stored: Stored, title: str, source: str) -> Figure:
    """The first twelve images, framed, each one's nearest in its row, as the network sees them.

    Below each of the nearest stand its class, orange where it is not the image's (which may not be known), and its
    distance; one without a class has its name.

    Args:
        source: where the numbers come from, for the foot.
    """
    rows = rows[:DRAWN]
    most = max((len(row.places) for row in rows), default=0)
    drawn = drawing.figure(max(4.5, 1.3 * (most + 1) + 0.2), 0.7 + 1.65 * max(1, len(rows)))
    grid = drawn.add_gridspec(max(1, len(rows)), most + 2, width_ratios=[1, 0.12, *[1] * most])
    strange = False
    for number, row in enumerate(rows):
        axes = _show(drawn.add_subplot(grid[number, 0]), row.pixels, stored.crop, _lines(row.name), drawing.BLUE)
        for spine in axes.spines.values():
            spine.set(visible=True, color=drawing.BLUE, linewidth=2)
        for column, (place, distance) in enumerate(zip(row.places, row.distances, strict=True)):
            label = stored.labels[place]
            other = bool(row.label and label and label != row.label)
            text = drawing.words(stored.words.get(label, label), _LETTERS - 2) or _end(Path(stored.paths[place]).name)
            ink, strange = drawing.ORANGE if other else drawing.INK, strange or other
            axes = drawn.add_subplot(grid[number, column + 2])
            _show(axes, stored.read(place), stored.crop, f"{text}\n{told(distance)}", ink)
    colours = "Framed: the picture asked for. " + "Orange: of another class than it. " * strange
    return drawing.heading(drawn, title, colours + source)


def told(distance: float) -> str:
    """A distance for people: bits where it is a whole number."""
    return counted(distance, "bit") if isinstance(distance, int) else f"{distance:.3f}"


def _show(axes: Axes, pixels: np.ndarray, crop: int, text: str, ink: str) -> Axes:
    """`axes` with what the network sees of a picture, and a text below."""
    start = (len(pixels) - crop) // 2
    seen = pixels[start : start + crop, start : start + crop]
    drawing.bare(axes).imshow(seen, interpolation="nearest" if crop < 64 else None)
    drawing.literal(axes.set_xlabel(text, fontsize=7, color=ink))
    return axes


def _lines(name: str) -> str:
    """A file's name in two lines at most, its beginning and its end."""
    name = drawing.cut(name, 1000)
    if len(name) <= _LETTERS:
        return name
    first = name[:_LETTERS] if len(name) <= 2 * _LETTERS else name[: _LETTERS - 1] + "…"
    return f"{first}\n{name[max(_LETTERS, len(name) - _LETTERS) :]}"


def _end(name: str) -> str:
    """A name's end, where its number is."""
    name = drawing.cut(name, 1000)
    return name if len(name) <= _LETTERS else "…" + name[-_LETTERS + 1 :]
