"""The paper's figure 2 for any network: towers of boxes in perspective, drawn from the table of rows.

A box is a row with weights. Its height grows as the square root of its maps' side, its width as that of their number:
in proportion, large and small would not fit on a page. Inside stands what one unit of the next row reads (its kernel,
with the pooling between them): as much of the box's height as it is of the maps' side.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.transforms import Bbox

from alexnet import drawing
from alexnet.analysis.summary import Summary
from alexnet.errors import counted
from alexnet.model.network import Fact
from alexnet.model.rows import Convolution, Dense, LocallyConnected, Pool, Row

_SCALE = 0.7  # inches a unit of length
_INPUT = 2.7  # height of the image's box
_MAPS = 0.062  # width of a box of one map
_UNITS = 0.042  # height of a slab of one unit
_SLAB = 0.2
_LEANING = (0.40, 0.30)  # how far the depth goes to the right and up, in heights
_GAP = 0.72
_BETWEEN = 0.42  # towers
_SOLID, _KERNEL, _EDGE = "#dbe6f3", "#d97706", "#33415c"
_UNIT_AT, _KERNEL_AT = (0.66, 0.5), (0.36, 0.5)  # height and depth, as shares: where a unit stands, and a kernel
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A cuboid in parallel perspective; its near lower left corner is at (x, y)."""

    x: float
    y: float
    width: float
    height: float
    lean: Point

    def at(self, across: float, up: float, back: float) -> Point:
        """The point at these shares (0..1) of width, height and depth."""
        x = self.x + across * self.width + back * self.lean[0]
        return x, self.y + up * self.height + back * self.lean[1]


@dataclass(frozen=True)
class Volume:
    """A row with weights, or the image, as boxes: one a tower."""

    name: str
    shape: tuple[int, ...]
    """Of one tower's part."""
    row: Row | None
    pools: tuple[Pool, ...]
    """Those between the volume before and this one."""
    boxes: tuple[Box, ...]


def figure2(summary: Summary) -> Figure:
    """The network as boxes, one tower above the other, with what their units read and where towers meet.

    Args:
        summary: what `alexnet.summary` gives.
    """
    volumes = layout(summary)
    points = [box.at(*corner) for v in volumes for box in v.boxes for corner in ((0, 0, 0), (1, 1, 1))]
    left, right = min(x for x, _ in points) - 0.35, max(x for x, _ in points) + 0.6
    bottom, top = min(y for _, y in points) - 1.2, max(y for _, y in points) + 0.3
    figure = drawing.figure(_SCALE * (right - left), _SCALE * (top - bottom + 0.6))
    axes = drawing.bare(figure.add_subplot())
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    for before, volume in itertools.pairwise(volumes):
        if isinstance(volume.row, Dense):
            _connected(axes, before, volume)
    for volume in volumes:
        for box in volume.boxes:
            _box(axes, box)
    for before, volume in itertools.pairwise(volumes):
        if not isinstance(volume.row, Dense):
            _reading(axes, before, volume)
    _labels(axes, volumes)
    numbers = f"{summary.parameters:,} parameters, {summary.multiply_adds:,} multiply-adds an image"
    title = f"{summary.name}: {counted(summary.towers, 'tower')}, {numbers}".removeprefix(": ")
    told = (
        "Boxes: the maps of each layer with weights, as high as the square root of their side and as wide as that of "
        "their number, for large and small to fit on a page. Orange: what one unit of the next layer reads, pooling "
        "included; it takes up as much of the box as of the maps. Numbers from the network's own table."
    )
    return drawing.heading(figure, title, told)


def layout(summary: Summary) -> list[Volume]:
    """The image and the rows with weights in order, their boxes placed from left to right, towers above each other."""
    image: list[tuple[str, tuple[int, ...], Row | None, tuple[Pool, ...], int]]
    image = [("image", (3, summary.input, summary.input), None, (), 1)]
    kinds = [*image, *_weighted(summary.config.table(), summary.rows)]
    pitch = _BETWEEN + max((_height(each[1], summary.input)[1] for each in kinds if each[-1] > 1), default=0.0)
    placed, x = [], 0.0
    for name, shape, row, pools, towers in kinds:
        width = _SLAB if len(shape) == 1 else _MAPS * math.sqrt(shape[0])
        height, whole = _height(shape, summary.input)
        lean = (_LEANING[0] * height, _LEANING[1] * height) if len(shape) == 3 else (0.14, 0.105)
        middles = [0.0] if towers == 1 else [pitch / 2, -pitch / 2]
        boxes = tuple(Box(x, middle - whole / 2, width, height, lean) for middle in middles)
        placed.append(Volume(name, shape, row, pools, boxes))
        x += width + lean[0] + _GAP
    return placed


def _weighted(
    table: Sequence[Row], facts: Sequence[Fact]
) -> Iterator[tuple[str, tuple[int, ...], Row, tuple[Pool, ...], int]]:
    """(name, shape of a tower, row, pools before it, towers) of each row with weights."""
    pools: list[Pool] = []
    for row, fact in zip(table, facts, strict=True):
        if isinstance(row, Pool):
            pools.append(row)
        elif isinstance(row, Convolution | LocallyConnected | Dense):
            yield row.name, fact.tower_shape, row, tuple(pools), row.towers
            pools = []


def _height(shape: tuple[int, ...], side: int) -> tuple[float, float]:
    """The height of a box, and with what its depth adds."""
    if len(shape) == 1:
        height = max(0.3, min(2.7, _UNITS * math.sqrt(shape[0])))
        return height, height + 0.105
    height = _INPUT * math.sqrt(shape[1] / side)
    return height, height * (1 + _LEANING[1])


def read(volume: Volume) -> int:
    """How many positions of the row before one unit reads along an axis: its kernel's, through the pooling between."""
    assert isinstance(volume.row, Convolution | LocallyConnected)
    size = volume.row.size
    for pool in reversed(volume.pools):
        size = (size - 1) * pool.stride + pool.size
    return size


def _box(axes: Axes, box: Box) -> None:
    """A translucent cuboid; the edges behind it are fainter."""
    near = [box.at(0, 0, 0), box.at(1, 0, 0), box.at(1, 1, 0), box.at(0, 1, 0)]
    above = [box.at(0, 1, 0), box.at(1, 1, 0), box.at(1, 1, 1), box.at(0, 1, 1)]
    beside = [box.at(1, 0, 0), box.at(1, 0, 1), box.at(1, 1, 1), box.at(1, 1, 0)]
    for face, opacity in ((near, 0.75), (above, 0.45), (beside, 0.6)):
        axes.add_patch(Polygon(face, facecolor=_SOLID, alpha=opacity, edgecolor="none"))
        axes.add_patch(Polygon(face, fill=False, edgecolor=_EDGE, linewidth=0.8, joinstyle="round"))
    for end in ((1, 0, 1), (0, 0, 0), (0, 1, 1)):
        _line(axes, box.at(0, 0, 1), box.at(*end), color=_EDGE, linewidth=0.4, alpha=0.35)


def _reading(axes: Axes, before: Volume, volume: Volume) -> None:
    """In the boxes before, the kernels of a row, with lines to the unit that they give in its own."""
    share = min(1.0, read(volume) / before.shape[1])
    every = volume.row is not None and volume.row.sees_all_towers
    for number, box in enumerate(before.boxes):
        # Both towers read one image, each at a place of its own.
        alone = len(before.boxes) == 1
        targets = list(enumerate(volume.boxes)) if alone or every else [(number, volume.boxes[number])]
        places = [_kernel_at(target, len(targets)) for target, _ in targets] if alone else [_KERNEL_AT]
        for place in places:
            _kernel(axes, box, place, share)
        for index, (_, target) in enumerate(targets):
            place = places[index % len(places)]
            end = target.at(0, *_UNIT_AT)
            for up, back in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                start = box.at(1, *_within(place, share, up, back))
                _line(axes, start, end, color=_KERNEL, linewidth=0.55, alpha=0.8, linestyle=(0, (4, 2)))
            axes.plot(*end, marker="o", markersize=2.4, color=_KERNEL, zorder=5)


def _kernel_at(target: int, targets: int) -> Point:
    return (0.45, 0.5) if targets == 1 else ((0.62, 0.5) if target == 0 else (0.22, 0.5))


def _within(place: Point, share: float, up: int, back: int) -> Point:
    """A corner of a kernel, as shares of height and depth; it stays inside the box."""
    middles = [min(1 - share / 2, max(share / 2, value)) for value in place]
    return middles[0] + up * share / 2, middles[1] + back * share / 2


def _kernel(axes: Axes, box: Box, place: Point, share: float) -> None:
    """A cuboid through all maps of the box."""
    (low, near), (high, far) = _within(place, share, -1, -1), _within(place, share, 1, 1)
    front = [box.at(0, low, near), box.at(1, low, near), box.at(1, high, near), box.at(0, high, near)]
    above = [box.at(0, high, near), box.at(1, high, near), box.at(1, high, far), box.at(0, high, far)]
    beside = [box.at(1, low, near), box.at(1, low, far), box.at(1, high, far), box.at(1, high, near)]
    for face, opacity in ((front, 0.35), (above, 0.2), (beside, 0.28)):
        axes.add_patch(Polygon(face, facecolor=_KERNEL, alpha=opacity, edgecolor="none", zorder=3))
        axes.add_patch(Polygon(face, fill=False, edgecolor=_KERNEL, linewidth=0.7, zorder=3))


def _connected(axes: Axes, before: Volume, volume: Volume) -> None:
    """All of the boxes before with all of a slab: bands that cross where towers meet."""
    every = len(before.boxes) == 1 or len(volume.boxes) == 1 or (volume.row is not None and volume.row.sees_all_towers)
    for number, box in enumerate(before.boxes):
        for target in volume.boxes if every else (volume.boxes[number],):
            near, far = (box.at(1, 0, 0.5), box.at(1, 1, 0.5)), (target.at(0, 0, 0.5), target.at(0, 1, 0.5))
            axes.add_patch(Polygon([near[0], far[0], far[1], near[1]], facecolor=_EDGE, alpha=0.05, edgecolor="none"))
            for start, end in zip(near, far, strict=True):
                _line(axes, start, end, color=_EDGE, linewidth=0.5, alpha=0.6)


def _labels(axes: Axes, volumes: Sequence[Volume]) -> None:
    """Numbers at the edges, names below, and between them what is done on the way."""
    line = min(box.y for volume in volumes for box in volume.boxes) - 0.42
    for number, volume in enumerate(volumes):
        for box in volume.boxes:
            _numbers(axes, box, volume.shape)
        first = volume.boxes[0]
        middle = first.x + (first.width + first.lean[0] * (len(volume.shape) == 3) * 0.4) / 2
        _text(axes, (middle, line), volume.name, weight="bold", size=8)
        if number:
            _on_the_way(axes, volumes[number - 1], volume, line)
    towered = next((volume for volume in volumes if len(volume.boxes) > 1), None)
    for number, box in enumerate(towered.boxes if towered else ()):
        x, y = box.at(0.5, 1, 1)
        _text(axes, (x, y + 0.14), f"tower {number + 1}", size=8, color=drawing.MUTED, style="italic")


def _numbers(axes: Axes, box: Box, shape: tuple[int, ...]) -> None:
    """Height and depth of a box, and its maps; of a slab its units. Each stands where no line runs through it."""
    below, above, beside = (
        (_beside(box.at(0.5, 0, 0), 0, -0.13), "center"),
        (_beside(box.at(0.5, 1, 1), 0, 0.13), "center"),
        (_beside(box.at(1, 0.5, 1), 0.06, 0), "left"),
    )
    if len(shape) == 1:
        _free_text(axes, (below, above, beside), str(shape[0]), size=8)
        return
    _free_text(axes, (below,), str(shape[0]), size=8)
    left = [(_beside(box.at(0, up, 0), -0.06, 0), "right") for up in (0.5, 0.3, 0.15, 0.85)]
    right = (_beside(box.at(1, 0.15, 1), 0.06, 0), "left")
    _free_text(axes, [*left, right], str(shape[1]), size=7)
    upper = [(_beside(box.at(0, 1, back), -0.05, 0.07), "right") for back in (0.5, 0.8, 1.0)]
    lower = [(_beside(box.at(1, 0, back), 0.05, -0.07), "left") for back in (0.5, 0.8, 0.2)]
    _free_text(axes, [*upper, *lower], str(shape[2]), size=7)


def _beside(point: Point, right: float, up: float) -> Point:
    return point[0] + right, point[1] + up


def _free_text(axes: Axes, places: Sequence[tuple[Point, str]], text: str, size: float) -> None:
    """Nothing; `text` stands at the (place, alignment) that the fewest lines cross, the first of equals."""
    letter = size / 72 / _SCALE
    width, height = 0.72 * letter * len(text), 1.2 * letter

    def crossing(where: tuple[Point, str]) -> int:
        (x, y), side = where
        left = x - {"left": 0.0, "center": 0.5, "right": 1.0}[side] * width
        room = Bbox.from_bounds(left, y - height / 2, width, height)
        return sum(line.get_path().intersects_bbox(room, filled=False) for line in axes.lines)

    place, side = min(places, key=crossing)
    _text(axes, place, text, size=size, ha=side)


def _on_the_way(axes: Axes, before: Volume, volume: Volume, line: float) -> None:
    """Kernel, stride and pooling between two volumes, below; the kernel's size beside each kernel."""
    last = before.boxes[0]
    words = [f"{'max' if pool.kind == 'max' else 'mean'} pooling" for pool in volume.pools]
    if isinstance(volume.row, Dense):
        words.append("dense")
    else:
        assert isinstance(volume.row, Convolution | LocallyConnected)
        words.append(f"{volume.row.size}×{volume.row.size}")
        if isinstance(volume.row, LocallyConnected):
            words.append("local")
        elif volume.row.stride > 1:
            words.append(f"stride of {volume.row.stride}")
    x = (last.x + last.width + volume.boxes[0].x) / 2 + (0.1 if len(before.shape) == 3 else 0)
    for number, word in enumerate(words):
        kernel = "×" in word
        colour = _KERNEL if kernel else drawing.MUTED
        _text(axes, (x, line - 0.24 - 0.2 * number), word, size=7, color=colour)


def _line(axes: Axes, start: Point, end: Point, **look: object) -> None:
    axes.add_line(Line2D(*zip(start, end, strict=True), solid_capstyle="round", **look))  # type: ignore[arg-type]


def _text(axes: Axes, place: Point, text: str, size: float, color: str = drawing.INK, **look: object) -> None:
    look = {"ha": "center", "va": "center", **look}
    axes.text(*place, text, fontsize=size, color=color, parse_math=False, **look)  # type: ignore[arg-type]
