"""How a stored image is shown to the network: uint8 `[N,3,S,S]` to float32 `[N,V,3,C,C]`, batched, on the device.

Crops and mirrors are index arithmetic on whole batches: one gather of rows and one of columns. Inside, channels come
last, so `result.flatten(0, 1)` is a channels_last view, the layout the network computes in; images that come so (as
the loader's JPEGs do) are not copied first.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from alexnet import randomness
from alexnet.errors import InputError

_Numbers = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the views know of a training set.

    `mean` is float32 `[3,S,S]`, the mean image; `covariance` float64 `[3,3]`, of the RGB values of all pixels about
    their channel's mean; both on the scale 0..255. The covariance stays on the CPU.
    """

    mean: Tensor
    covariance: Tensor

    def to(self, device: torch.device | str) -> "Statistics":
        """The same with the mean image on `device`: once before a loop, rather than at every batch."""
        return Statistics(self.mean.to(device), self.covariance)

    @cached_property
    def channel_mean(self) -> Tensor:
        """float32 `[3]`, the mean of each channel, 0..255, on the mean image's device."""
        return self.mean.mean((1, 2))

    @cached_property
    def eigenvalues(self) -> Tensor:
        """float64 `[3]`, the variances along the principal axes of colour, largest first, on the 0..255 scale."""
        return torch.linalg.eigvalsh(self.covariance).flip(0).clamp(min=0)  # type: ignore[no-any-return]

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
        augment: False always shows the centre, not mirrored or turned; the colour noise has its own field.
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
        shared: so many consecutive stored images share crop and mirror: the authors' 32, with the loader's stored
            order. Colour noise is drawn for each image all the same, as the paper has it.
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
        for name, value in (("crop", self.crop), ("shared", self.shared)):
            if value < 1:
                raise InputError(f"views.{name} is {value}; it is a whole number, 1 or more.")
        if self.colour not in ("none", "paper", "code"):
            raise InputError(f"views.colour is {self.colour!r}; it can be 'none', 'paper' or 'code'.")
        if not (math.isfinite(self.colour_scale) and self.colour_scale >= 0):
            raise InputError(f"views.colour_scale is {self.colour_scale}; it is a number, 0 or more.")
        if self.mean not in ("at_crop", "central", "channel") and not _three(self.mean):
            ways = "'at_crop', 'central', 'channel' or three numbers on 0..255"
            raise InputError(f"views.mean is {self.mean!r}; it can be {ways}.")
        divisors = self.divisor if isinstance(self.divisor, tuple) else (self.divisor,) * 3
        if self.divisor != "deviation" and not (_three(divisors) and all(float(d) > 0 for d in divisors)):
            ways = "'deviation', or one or three numbers above 0"
            raise InputError(f"views.divisor is {self.divisor!r}; it can be {ways}.")


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
        InputError: the images are smaller than the crop, not uint8 `[N,3,S,S]`, or not of the mean image's size.
    """
    slack = _slack(images, views, statistics)
    drawn = _draw(seed, epoch, indices // views.shared, slack, views)
    lines = _cut(images, drawn, views.crop)
    if views.mean == "at_crop":
        lines = _turned(lines.float().sub_(_mean_at(drawn, views, statistics)), drawn)
    else:
        mean = _mean(views, statistics, lines.device, slack // 2, slack // 2, False)
        lines = _turned(lines, drawn).float().sub_(mean)
    strength = views.colour_scale * colour
    if views.colour != "none" and strength > 0:
        lines += _noise(seed, epoch, indices, views, statistics).mul_(strength).repeat(1, views.crop)[:, None]
        if views.colour == "code":
            lines /= 1 + strength
    return _divided(lines, views, statistics).view(len(images), 1, views.crop, views.crop, 3).permute(0, 1, 4, 2, 3)


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
        mean = list(statistics.mean.shape)
        raise InputError(f"the mean image is {mean}, the images {side}×{side}: they are of different prepared sets.")
    return side - views.crop


class _Draw(NamedTuple):
    """Where each image's crop is taken, and how it is then shown, in this order."""

    top: Tensor  # int64 [N], as left
    left: Tensor
    upside_down: Tensor  # bool [N], as the next two
    mirrored: Tensor
    transposed: Tensor | None


def _draw(seed: int, epoch: int, indices: Tensor, slack: int, views: Views) -> _Draw:
    zero = torch.zeros_like(indices)
    if not views.augment:
        return _Draw(zero + slack // 2, zero + slack // 2, zero.bool(), zero.bool(), None)
    crop, mirror = (randomness.keys(seed, purpose, epoch, indices) for purpose in ("crop", "mirror"))
    top, left = (randomness.integers(crop, draw, slack + 1) for draw in (0, 1))
    mirrored = (randomness.integers(mirror, 0, 2) == 1) & views.horizontal
    upside_down = (randomness.integers(mirror, 1, 2) == 1) & views.vertical
    if not views.turns:
        return _Draw(top, left, upside_down, mirrored, None)
    # With T the exchange of rows and columns: R = T·H, R² = V·H, R³ = T·V (R a quarter turn, H and V the mirrors).
    quarter = randomness.integers(randomness.keys(seed, "turn", epoch, indices), 0, 4)
    upside_down ^= (quarter == 2) | (quarter == 3)
    mirrored ^= (quarter == 1) | (quarter == 2)
    return _Draw(top, left, upside_down, mirrored, quarter % 2 == 1)


def _cut(images: Tensor, drawn: _Draw, crop: int) -> Tensor:
    """uint8 `[N,C,C·3]`: the drawn crops, mirrored, not yet turned."""
    count, _, side, _ = images.shape
    lines = images.permute(0, 2, 3, 1).reshape(count * side, side * 3)
    steps, channels = (torch.arange(n, device=images.device) for n in (crop, 3))
    rows = drawn.top[:, None] + torch.where(drawn.upside_down[:, None], crop - 1 - steps, steps)
    columns = drawn.left[:, None] + torch.where(drawn.mirrored[:, None], crop - 1 - steps, steps)
    first = torch.arange(count, device=images.device)[:, None] * side
    chosen = lines.index_select(0, (first + rows).flatten()).view(count, crop, side * 3)
    values = (columns[:, :, None] * 3 + channels).view(count, 1, crop * 3)
    return chosen.gather(2, values.expand(count, crop, crop * 3))


def _turned(lines: Tensor, drawn: _Draw) -> Tensor:
    if drawn.transposed is None:
        return lines
    exchanged = lines.view(*lines.shape[:2], lines.shape[1], 3).transpose(1, 2).flatten(2)
    return torch.where(drawn.transposed[:, None, None], exchanged, lines)


def _mean_at(drawn: _Draw, views: Views, statistics: Statistics) -> Tensor:
    """float32 `[N,C,C·3]`: the mean image at the drawn crops, mirrored, not yet turned."""
    mean = statistics.mean.to(drawn.top.device).permute(1, 2, 0)
    slack = len(mean) - views.crop
    # The four mirrors of one image are small; taking each window from the right one is then a single copy.
    mirrors = torch.stack([mean, mean.flip(1), mean.flip(0), mean.flip(0, 1)]).flatten(2)
    windows = mirrors.unfold(1, views.crop, 1).unfold(2, views.crop * 3, 3)
    top = torch.where(drawn.upside_down, slack - drawn.top, drawn.top)
    left = torch.where(drawn.mirrored, slack - drawn.left, drawn.left)
    return windows[drawn.upside_down * 2 + drawn.mirrored, top, left]


def _mean(views: Views, statistics: Statistics, device: torch.device, top: int, left: int, mirrored: bool) -> Tensor:
    """float32 `[C,C·3]`: what is subtracted from every image; the place matters to a mean image only."""
    if isinstance(views.mean, tuple):
        mean = _constants(views.mean, device)
    elif views.mean == "channel":
        mean = statistics.channel_mean.to(device)
    else:
        window = statistics.mean.to(device)[:, top : top + views.crop, left : left + views.crop].permute(1, 2, 0)
        mean = window.flip(1) if mirrored else window
    return mean.expand(views.crop, views.crop, 3).reshape(views.crop, -1)


def _noise(seed: int, epoch: int, indices: Tensor, views: Views, statistics: Statistics) -> Tensor:
    """float32 `[N,3]`, what colour noise of strength 1 adds to each image's pixels, 0..255."""
    values = statistics.eigenvalues
    lengths = values / 255 if views.colour == "paper" else values.sqrt()  # 255 × (eigenvalue / 255²)
    axes = (statistics.eigenvectors * lengths).float().to(indices.device)
    draws = randomness.normals(randomness.keys(seed, "colour", epoch, indices), 0, 3)
    return draws @ axes.T


def _divided(lines: Tensor, views: Views, statistics: Statistics) -> Tensor:
    if isinstance(views.divisor, tuple):
        return lines.div_(_constants(views.divisor, lines.device).repeat(views.crop))
    divisor = statistics.deviation if views.divisor == "deviation" else float(views.divisor)
    if divisor == 0:
        raise InputError("views.divisor is 'deviation', and the training images are all the same: give a number.")
    return lines if divisor == 1 else lines.div_(divisor)


def _fixed(images: Tensor, views: Views, statistics: Statistics, places: list[tuple[int, int, bool]]) -> Tensor:
    """float32 `[N,V,3,C,C]`: the crops at each (top, left, mirrored)."""
    count, crop = len(images), views.crop
    middle = (images.shape[2] - crop) // 2
    lines = torch.empty(count, len(places), crop, crop * 3, device=images.device)
    for view, (top, left, mirrored) in zip(lines.unbind(1), places, strict=True):
        cut = images.permute(0, 2, 3, 1)[:, top : top + crop, left : left + crop]
        view.view(count, crop, crop, 3).copy_(cut.flip(2) if mirrored else cut)
        place = (top, left, mirrored) if views.mean == "at_crop" else (middle, middle, False)
        view -= _mean(views, statistics, images.device, *place)
    return _divided(lines, views, statistics).view(count, len(places), crop, crop, 3).permute(0, 1, 4, 2, 3)


def _three(values: object) -> bool:
    numbers = isinstance(values, tuple) and all(isinstance(v, int | float) and math.isfinite(v) for v in values)
    return numbers and len(values) == 3  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _constants(values: _Numbers, device: torch.device) -> Tensor:
    """float32 `[3]` on `device`, copied there once."""
    return torch.tensor(values, device=device)
