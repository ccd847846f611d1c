"""How a stored image is shown to the network: uint8 `[N,3,S,S]` to float32 `[N,V,3,C,C]`, batched, on the device.

Crops and mirrors are index arithmetic on whole batches: one gather of rows and one of columns. Pixels are kept in the
order height, width, channel inside, so each `result[:, v]` is channels_last, the layout the network computes in;
images that come so (as the loader's do) are not copied first.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import torch
from torch import Tensor

from alexnet import randomness
from alexnet.errors import InputError

_Numbers = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the views know of a training set.

    `mean` is float32 `[3,S,S]`, the mean image; `covariance` is float64 `[3,3]`, of the RGB values of all pixels
    about their channel's mean. Both are on the scale 0..255. The covariance is kept on the CPU.
    """

    mean: Tensor
    covariance: Tensor

    def to(self, device: torch.device | str) -> "Statistics":
        """The same statistics with the mean image on `device`: once before a loop, rather than at every batch."""
        return Statistics(self.mean.to(device), self.covariance)

    @cached_property
    def channel_mean(self) -> Tensor:
        """float32 `[3]`, the mean of each channel, 0..255, on the device of the mean image."""
        return self.mean.mean((1, 2))

    @cached_property
    def eigenvalues(self) -> Tensor:
        """float64 `[3]`, the variances along the principal axes of colour, largest first, on the 0..255 scale."""
        values: Tensor = torch.linalg.eigvalsh(self.covariance)
        return values.flip(0).clamp(min=0)

    @cached_property
    def eigenvectors(self) -> Tensor:
        """float64 `[3,3]`, the principal axes as columns, in the order of `eigenvalues`; each one's largest is > 0."""
        columns: Tensor = torch.linalg.eigh(self.covariance).eigenvectors.flip(1)
        largest = columns.gather(0, columns.abs().argmax(0, keepdim=True))
        return columns * torch.where(largest < 0, -1.0, 1.0)

    @cached_property
    def deviation(self) -> float:
        """The standard deviation of all values less the mean image, the three channels pooled, 0..255."""
        of_mean = (self.mean.double().cpu() - self.channel_mean.double().cpu()[:, None, None]).square().mean()
        return math.sqrt(max(float(self.covariance.trace() / 3 - of_mean), 0.0))


@dataclass(frozen=True)
class Views:
    """How images are shown; the defaults are the paper's text (sections 2 and 4.1).

    A view is (pixels − mean + colour noise) / divisor, on the scale 0..255.

    Attributes:
        crop: the side of the view in pixels; the paper's 224, Caffe's 227, 24 for CIFAR-10.
        horizontal: mirror left and right, in half of the random views.
        vertical: mirror up and down too, for pictures without an up.
        turns: turn by 0 to 3 quarters too, for pictures without an up.
        augment: False shows the centre, never mirrored or turned, instead of a random crop; colour has its own field.
        mean: "at_crop", the mean image where the crop is taken, mirrored and turned along, as if the mean had been
            taken from the stored image (the paper's text); "central", the central crop of the mean image whatever
            the offset, never mirrored (the authors' code, which crops and mirrors first); "channel", the training
            set's mean of each channel; or three numbers, red, green, blue, on 0..255.
        divisor: a number, three numbers, or "deviation", that of the training set less its mean image.
        colour: "paper", alpha_k × eigenvalue_k along each principal axis k with alpha ~ N(0, colour_scale), the
            eigenvalues those of the 0..1 scale, the sum brought to 0..255 (about 5.5 grey levels along ImageNet's
            first axis); "code", colour_scale × N(0, 1) × the deviation along each axis, and the result divided by
            1 + colour_scale (the authors' code, about 12.2 before the division); or "none".
        colour_scale: the paper's and the code's 0.1.
        shared: crop and mirror are shared by so many consecutive stored images: the authors' 32, with the loader's
            stored order. The colour noise is drawn for each image all the same, as the paper says of it and as
            cuda-convnet2 did.
    """

    crop: int = 224
    horizontal: bool = True
    vertical: bool = False
    turns: bool = False
    augment: bool = True
    mean: Literal["at_crop", "central", "channel"] | _Numbers = "at_crop"
    divisor: Literal["deviation"] | float | _Numbers = 1.0
    colour: Literal["none", "paper", "code"] = "paper"
    colour_scale: float = 0.1
    shared: int = 1

    def __post_init__(self) -> None:
        """Raises InputError, naming the field, for values that no view can have."""
        if self.crop < 1:
            raise InputError(f"views.crop is {self.crop}; it is a side in pixels, 1 or more.")
        if self.shared < 1:
            raise InputError(f"views.shared is {self.shared}; it is a number of images, 1 or more.")
        if self.colour not in ("none", "paper", "code"):
            raise InputError(f"views.colour is {self.colour!r}; it can be 'none', 'paper' or 'code'.")
        if not (math.isfinite(self.colour_scale) and self.colour_scale >= 0):
            raise InputError(f"views.colour_scale is {self.colour_scale}; it is a number, 0 or more.")
        if self.mean not in ("at_crop", "central", "channel") and not _three(self.mean):
            raise InputError(
                f"views.mean is {self.mean!r}; it can be 'at_crop', 'central', 'channel' or three numbers on 0..255."
            )
        divisors = self.divisor if isinstance(self.divisor, tuple) else (self.divisor,) * 3
        if self.divisor != "deviation" and not (_three(divisors) and all(float(d) > 0 for d in divisors)):
            raise InputError(
                f"views.divisor is {self.divisor!r}; it can be 'deviation', or one or three numbers above 0."
            )


def random_view(
    images: Tensor, indices: Tensor, views: Views, statistics: Statistics, *, seed: int, epoch: int, colour: float = 1.0
) -> Tensor:
    """float32 `[N,1,3,C,C]`, one random crop of each image, mirrored at random, its colour shifted (section 4.1).

    Offsets are uniform in 0 .. S−C inclusive on either axis. Every draw is a function of (seed, epoch, image index)
    alone.

    Args:
        images: uint8 `[N,3,S,S]`.
        indices: int64 `[N]`, the images' positions in the stored order, on the same device.
        colour: the schedule's factor on the noise; at 0 it is off, and so is the code's division by 1.1.

    Raises:
        InputError: the images are smaller than the crop, or not uint8 `[N,3,S,S]`, or the statistics are of another
            size.
    """
    slack = _slack(images, views, statistics)
    top, left, flip_rows, flip_columns, transposed = _drawn(seed, epoch, indices // views.shared, slack, views)
    rows, columns = (_run(start, flip, views.crop) for start, flip in ((top, flip_rows), (left, flip_columns)))
    mean = _mean(views, statistics, rows, columns, slack)
    if views.mean == "central":
        view = _turned(_cut(images, rows, columns), transposed).float().sub_(mean)
    else:
        view = _turned(_cut(images, rows, columns).float().sub_(mean), transposed)
    strength = views.colour_scale * colour
    if views.colour != "none" and strength > 0:
        view += _noise(seed, epoch, indices, views, statistics) * strength
        if views.colour == "code":
            view /= 1 + strength
    return _divided(view, views, statistics).permute(0, 3, 1, 2)[:, None]


def centre_view(images: Tensor, views: Views, statistics: Statistics) -> Tensor:
    """float32 `[N,1,3,C,C]`, the central crop, without colour noise. Arguments and errors as for `random_view`."""
    middle = _slack(images, views, statistics) // 2
    return _fixed(images, views, statistics, [(middle, middle, False)])


def ten_views(images: Tensor, views: Views, statistics: Statistics) -> Tensor:
    """float32 `[N,10,3,C,C]`: top left, top right, bottom left, bottom right, centre; then their mirrors (section 4.1).

    View 4 is the centre view. Arguments and errors as for `random_view`.
    """
    end = _slack(images, views, statistics)
    places = [(0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)]
    return _fixed(images, views, statistics, [(top, left, flip) for flip in (False, True) for top, left in places])


def nine_views(images: Tensor, views: Views, statistics: Statistics) -> Tensor:
    """float32 `[N,9,3,C,C]`: a 3×3 grid of crops in reading order, no mirrors (the authors' CIFAR-10 test).

    View 4 is the centre view. Arguments and errors as for `random_view`.
    """
    end = _slack(images, views, statistics)
    steps = (0, end // 2, end)
    return _fixed(images, views, statistics, [(top, left, False) for top in steps for left in steps])


def _slack(images: Tensor, views: Views, statistics: Statistics) -> int:
    """The largest offset of a crop; raises InputError for images that the views cannot show."""
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
        raise InputError(f"images are {images.dtype} {list(shape)}; uint8 [N, 3, S, S] is needed.")
    side = shape[2]
    if views.crop > side:
        raise InputError(
            f"views.crop is {views.crop}, larger than the stored images of {side}×{side}; make it smaller."
        )
    if views.mean in ("at_crop", "central") and statistics.mean.shape[1:] != images.shape[2:]:
        raise InputError(
            f"the mean image is {list(statistics.mean.shape)} and the images are {side}×{side}: "
            "they come from different prepared sets."
        )
    return side - views.crop


def _drawn(
    seed: int, epoch: int, indices: Tensor, slack: int, views: Views
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Top, left, whether rows and columns run backwards, and whether they are then exchanged, for each index."""
    zero = torch.zeros_like(indices)
    if not views.augment:
        return zero + slack // 2, zero + slack // 2, zero.bool(), zero.bool(), None
    crop, mirror = (randomness.keys(seed, purpose, epoch, indices) for purpose in ("crop", "mirror"))
    top, left = (randomness.integers(crop, draw, slack + 1) for draw in (0, 1))
    horizontal = (randomness.integers(mirror, 0, 2) == 1) & views.horizontal
    vertical = (randomness.integers(mirror, 1, 2) == 1) & views.vertical
    if not views.turns:
        return top, left, vertical, horizontal, None
    # With T the exchange of rows and columns: R = T·H, R² = V·H, R³ = T·V (R a quarter turn, H and V the mirrors).
    quarter = randomness.integers(randomness.keys(seed, "turn", epoch, indices), 0, 4)
    vertical ^= (quarter == 2) | (quarter == 3)
    horizontal ^= (quarter == 1) | (quarter == 2)
    return top, left, vertical, horizontal, quarter % 2 == 1


def _run(start: Tensor, backwards: Tensor, length: int) -> Tensor:
    """int64 `[N, length]`: start, start+1, ... for each image, or the same from its end."""
    steps = torch.arange(length, device=start.device)
    return start[:, None] + torch.where(backwards[:, None], length - 1 - steps, steps)


def _cut(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`[N,C,C,3]`, pixel (rows[n,i], columns[n,j]) of image n at (i, j); one image `[1,3,S,S]` serves all n."""
    pixels = images.permute(0, 2, 3, 1).contiguous()
    count, side, size = len(pixels), pixels.shape[1], rows.shape
    first = torch.arange(count, device=images.device)[:, None] * side
    lines = pixels.view(count * side, side * 3).index_select(0, (first + rows).flatten())
    values = (columns[:, :, None] * 3 + torch.arange(3, device=images.device)).view(size[0], 1, -1)
    return lines.view(*size, -1).gather(2, values.expand(-1, size[1], -1)).view(*size, size[1], 3)


def _turned(view: Tensor, transposed: Tensor | None) -> Tensor:
    return view if transposed is None else torch.where(transposed[:, None, None, None], view.transpose(1, 2), view)


def _mean(views: Views, statistics: Statistics, rows: Tensor, columns: Tensor, slack: int) -> Tensor:
    """What is subtracted, broadcasting to `[N,C,C,3]`."""
    if isinstance(views.mean, tuple):
        return _constants(views.mean, rows.device)
    if views.mean == "channel":
        return statistics.channel_mean.to(rows.device)
    mean = statistics.mean.to(rows.device)
    if views.mean == "at_crop":
        return _cut(mean[None], rows, columns)
    centre = slice(slack // 2, slack // 2 + views.crop)
    return mean[:, centre, centre].permute(1, 2, 0)


def _noise(seed: int, epoch: int, indices: Tensor, views: Views, statistics: Statistics) -> Tensor:
    """float32 `[N,1,1,3]`, what colour noise of strength 1 adds to each image's pixels, 0..255."""
    values = statistics.eigenvalues
    lengths = values / 255 if views.colour == "paper" else values.sqrt()  # 255 × (eigenvalue / 255²)
    axes = (statistics.eigenvectors * lengths).float().to(indices.device)
    draws = randomness.normals(randomness.keys(seed, "colour", epoch, indices), 0, 3)
    return (draws @ axes.T)[:, None, None]


def _divided(view: Tensor, views: Views, statistics: Statistics) -> Tensor:
    if isinstance(views.divisor, tuple):
        return view.div_(_constants(views.divisor, view.device))
    divisor = statistics.deviation if views.divisor == "deviation" else float(views.divisor)
    return view if divisor == 1 else view.div_(divisor)


def _fixed(images: Tensor, views: Views, statistics: Statistics, places: list[tuple[int, int, bool]]) -> Tensor:
    """float32 `[N,V,3,C,C]`: the crops at each (top, left, mirrored)."""
    count, side, crop = len(images), images.shape[2], views.crop
    pixels = images.permute(0, 2, 3, 1)
    result = torch.empty(count, len(places), crop, crop, 3, device=images.device)
    for number, (top, left, flip) in enumerate(places):
        rows = torch.arange(top, top + crop, device=images.device)
        columns = torch.arange(left, left + crop, device=images.device)
        mean = _mean(views, statistics, rows[None], columns[None], side - crop)
        cut = pixels[:, top : top + crop, left : left + crop]
        if flip:
            cut = cut.flip(2)
            mean = mean.flip(2) if views.mean == "at_crop" else mean
        result[:, number] = cut
        result[:, number] -= mean
    return _divided(result, views, statistics).permute(0, 1, 4, 2, 3)


def _three(values: object) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == 3
        and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    )


@lru_cache(maxsize=64)
def _constants(values: _Numbers, device: torch.device) -> Tensor:
    """float32 `[3]` on `device`, copied there once."""
    return torch.tensor(values, device=device)
