"""What single units look for: the patches of pictures that excite each most."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet import drawing
from alexnet.analysis.pictures import Pictures
from alexnet.errors import InputError, counted
from alexnet.evaluation.classifier import Classifier
from alexnet.model import rows
from alexnet.model.network import Network

_ROW = 3  # a block of 3 x 3 patches a unit
_BLOCKS = 6  # units side by side
_OUTSIDE = 0.92


@dataclass(frozen=True, eq=False)
class Exciting:
    """For each unit of a stage the k images that excite it most, strongest first; of an image its strongest place."""

    stage: str
    values: np.ndarray
    """float32 `[units, k]`: the responses."""
    images: np.ndarray
    """int64 `[units, k]`: the positions of the images."""
    windows: np.ndarray
    """int64 `[units, k, 4]`: top, bottom, left, right of what the unit sees there, in pixels of the stored image."""
    corners: np.ndarray
    """int64 `[units, k, 2]`: how many rows and columns of a whole field, or of the view if that is smaller, lie before
    it: not 0 where the border cuts it."""
    side: int
    """Of a whole field, at most the view's."""
    looked_at: int
    """How many images there were."""

    def strongest(self, count: int) -> list[int]:
        """The numbers of the units whose k responses are the largest in the mean, strongest first."""
        means = self.values.mean(1, dtype=np.float64)
        return [int(unit) for unit in np.argsort(-means, kind="stable")[:count]]


def exciting(
    classifier: Classifier,
    pictures: Pictures,
    stage: str | None = None,
    count: int = 9,
    progress: Callable[[int], object] = lambda _: None,
) -> Exciting:
    """The `count` images that excite each unit of a stage most, and where; one pass in bounded memory.

    A unit of a convolution is a map, its response to an image the largest at any position. Of equal responses the
    earlier image, and the upper left position, counts.

    Args:
        stage: by default the last convolution or locally connected row (`deepest`).
        progress: told the number of images of each batch.

    Raises:
        InputError: there is no such stage.
    """
    network = classifier.network
    stage = stage or deepest(network)
    best: tuple[Tensor, Tensor, Tensor] | None = None
    width, looked_at = 1, 0
    for positions, images in pictures.batches():
        maps = _stage(classifier, images, stage)
        width = maps.shape[-1] if maps.ndim == 4 else 1
        values, places = maps.flatten(2).max(2) if maps.ndim == 4 else (maps, torch.zeros_like(maps, dtype=torch.int64))
        numbers = torch.from_numpy(positions)[None].expand(values.shape[1], -1)
        new = (values.T.float(), numbers, places.T)
        joined = new if best is None else (*(torch.cat(pair, 1) for pair in zip(best, new, strict=True)),)
        # A stable sort of images in their order leaves the earlier of equals in front.
        order = joined[0].argsort(dim=1, descending=True, stable=True)[:, :count]
        best = (joined[0].gather(1, order), joined[1].gather(1, order), joined[2].gather(1, order))
        progress(len(images))
        looked_at += len(images)
    if best is None:
        raise InputError(f"{pictures.source}: there is no image to excite units with.")
    responses, numbers_, places_ = (part.numpy() for part in best)
    return Exciting(stage, responses, numbers_, *_windows(classifier, stage, places_, width), looked_at)


def units(pictures: Pictures, found: Exciting, network: Network, count: int = 12) -> Figure:
    """The strongest units of a stage, each a block of its nine patches in reading order.

    All patches are as large as the unit's receptive field; what of it lies outside the view is grey.

    Args:
        found: what `exciting` found in these pictures.
    """
    chosen = found.strongest(count)
    wanted = sorted({int(i) for unit in chosen for i in found.images[unit]})
    pixels: dict[int, np.ndarray] = {}
    for positions, images in pictures.batches(wanted):
        pixels |= {int(i): image.permute(1, 2, 0).numpy() for i, image in zip(positions, images, strict=True)}
    row = next(row for row in network.rows if row.name == found.stage)
    columns = min(_BLOCKS, len(chosen))
    lines = -(-len(chosen) // columns)
    figure = drawing.figure(1.5 * columns + 0.2, 1.86 * lines + 0.5)
    figure.set_layout_engine("constrained", wspace=0.07, hspace=0.03)
    for number, unit in enumerate(chosen):
        axes = drawing.bare(figure.add_subplot(lines, columns, number + 1))
        axes.imshow(block(found, unit, pixels), interpolation="nearest")
        tower = f", tower {1 + unit * row.towers // len(found.values)}" if row.towers > 1 else ""
        axes.set_title(f"unit {unit}{tower}", fontsize=7.5, color=drawing.INK, pad=3)
        axes.set_xlabel(f"{found.values[unit, 0]:.3g} to {found.values[unit, -1]:.3g}", fontsize=6.5, labelpad=2)
        axes.xaxis.label.set_color(drawing.MUTED)
    return figure


def block(found: Exciting, unit: int, pixels: dict[int, np.ndarray]) -> np.ndarray:
    """float32 `[H,W,3]`, 0..1: the patches of a unit in rows of three, grey where the view ends within a field.

    Args:
        pixels: uint8 `[S,S,3]` of each image, by its position.
    """
    step = found.side + max(1, found.side // 24)
    lines = -(-found.values.shape[1] // _ROW)
    result = np.ones((lines * step - step + found.side, _ROW * step - step + found.side, 3), np.float32)
    for place, image in enumerate(found.images[unit].tolist()):
        top, bottom, left, right = found.windows[unit, place].tolist()
        y, x = (step * number for number in divmod(place, _ROW))
        result[y : y + found.side, x : x + found.side] = _OUTSIDE
        y, x = y + int(found.corners[unit, place, 0]), x + int(found.corners[unit, place, 1])
        result[y : y + bottom - top, x : x + right - left] = pixels[image][top:bottom, left:right] / 255
    return result


def deepest(network: Network) -> str:
    """The name of the last row of units that have places: conv5, say.

    Raises:
        InputError: the network has none.
    """
    kinds = (rows.Convolution, rows.LocallyConnected)
    names = [row.name for row in network.rows if isinstance(row, kinds)]
    if not names:
        raise InputError("this network has no maps; name a --stage.")
    return names[-1]


def told(found: Exciting, network: Network) -> str:
    """What the figure shows, in words."""
    field = rows.receptive_fields(network.rows, network.config.input)[found.stage]
    seen = counted(found.values.shape[1], "image patch", "image patches")
    size = f"{min(field.size, network.config.input)}×{min(field.size, network.config.input)} pixels"
    return f"{found.stage}: the {seen} that excite each unit most ({size})"


def _stage(classifier: Classifier, images: Tensor, stage: str) -> Tensor:
    """The stage for the centre views of stored images, on the CPU."""
    return classifier.stages(images, stage)[stage].cpu()


def _windows(classifier: Classifier, stage: str, places: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Windows, corners and side as in `Exciting`, from positions in a map, counted in reading order."""
    crop = classifier.views.crop
    field = rows.receptive_fields(classifier.network.rows, crop)[stage]
    edge = (classifier.size - crop) // 2
    bounds, corners = [], []
    for axis in (places // width, places % width):
        first = field.start + axis * field.stride
        begin, end = np.clip(first, 0, crop), np.clip(first + field.size, 0, crop)
        bounds += [begin + edge, end + edge]
        corners.append(begin if field.size >= crop else begin - first)
    return np.stack(bounds, -1), np.stack(corners, -1), min(field.size, crop)
