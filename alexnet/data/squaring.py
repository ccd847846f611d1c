"""A picture of any size to the square uint8 RGB that the network's data is stored as (docs/data.md).

Training, evaluation and serving all come through here; a classifier carries its `Squaring` with it.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from alexnet.data.decoding import LIMIT, Refused, decode

Geometry = Literal["crop", "pad", "warp"]
"""What becomes of a picture that is not square; see `Squaring`."""

Filter = Literal["area", "pillow-bilinear", "opencv-linear"]
"""By what a picture is resized.

"area", this package's and that of its prepared sets: an axis that shrinks is averaged over the exact area of each new
pixel, one that grows is interpolated bicubically. "pillow-bilinear", torchvision's: Pillow's BILINEAR, a triangle two
new pixels wide, or two old ones where these are larger. "opencv-linear", Caffe's: OpenCV's INTER_LINEAR, between the
two nearest old pixels on each axis however many are skipped, so that what shrinks gets jagged; to one level.
"""

GREY = (127, 120, 105)
"""The colour around a padded picture: ImageNet's mean colour, as the authors' "2012-full" had."""

_BLOCK = 64  # rows averaged together: their sums stay in the cache
_WHOLE = 1 << 24  # pixels up to which a picture is resized whole to cut its middle out


@dataclass(frozen=True)
class Squaring:
    """How a picture becomes the stored square.

    Attributes:
        size: the square's side.
        geometry: "crop": the shorter side becomes `size`, the centre is kept (section 2 of the paper). "pad": the
            longer side becomes `size`, the rest is `GREY`, the picture in the middle. "warp": both sides become `size`.
        filter: see `Filter`. But for "area" the longer side and the centre of a crop are rounded as by torchvision's
            Resize and CenterCrop, and a JPEG is always decoded at its full scale.
        orientation: whether a photograph's EXIF orientation is applied.
    """

    size: int = 256
    geometry: Geometry = "crop"
    filter: Filter = "area"
    orientation: bool = True

    def of_file(self, data: bytes, limit: int = LIMIT) -> np.ndarray:
        """uint8 `[size,size,3]`, RGB 0..255: an image file as a prepared set stores it (before any re-encoding).

        Args:
            limit: more pixels than this are refused before they are decoded.

        Raises:
            Refused: the file cannot be decoded in full.
        """
        return self.of_pixels(self.decoded(data, limit))

    def decoded(self, data: bytes, limit: int = LIMIT) -> np.ndarray:
        """uint8 `[H,W,3]`: what of an image file `of_pixels` needs.

        For "area", a JPEG whose shorter side is still twice `size` at 1/2 (1/4) of its scale comes at that scale.
        """
        shortest = 2 * self.size if self.filter == "area" else None
        return decode(data, limit, orientation=self.orientation, shortest=shortest)

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 `[size,size,3]` of uint8 `[H,W,3]`.

        Raises:
            Refused: the array is of another kind, or empty.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise Refused(f"pixels of shape {list(pixels.shape)} and type {pixels.dtype}, not [H,W,3] of uint8")
        height, width = pixels.shape[:2]
        size = self.size
        if self.geometry == "warp":
            return self._resized(pixels, _Axis(height, size, 0, size), _Axis(width, size, 0, size))
        if self.geometry == "pad":
            longer = max(height, width)
            rows, columns = max(1, round(height * size / longer)), max(1, round(width * size / longer))
            canvas = np.full((size, size, 3), GREY, np.uint8)
            top, left = (size - rows) // 2, (size - columns) // 2
            canvas[top : top + rows, left : left + columns] = self._resized(
                pixels, _Axis(height, rows, 0, rows), _Axis(width, columns, 0, columns)
            )
            return canvas
        shorter = min(height, width)
        return self._resized(pixels, self._middle(height, shorter), self._middle(width, shorter))

    def _middle(self, length: int, shorter: int) -> "_Axis":
        """The central `size` of an axis of `length` pixels, once `shorter` has become `size`."""
        if self.filter == "area":
            resized = round(length * self.size / shorter)
            return _Axis(length, resized, (resized - self.size) // 2, self.size)
        resized = int(self.size * length / shorter)
        return _Axis(length, resized, round((resized - self.size) / 2), self.size)

    def _resized(self, pixels: np.ndarray, rows: "_Axis", columns: "_Axis") -> np.ndarray:
        if self.filter == "pillow-bilinear":
            return _triangles(pixels, rows, columns)
        if self.filter == "opencv-linear":
            return _neighbours(pixels, rows, columns)
        return _areas(pixels, rows.span, columns.span, rows.count, columns.count)


@dataclass(frozen=True)
class _Axis:
    """New pixels along an axis: `count` from `first` on, of the `resized` that all its `length` would become."""

    length: int
    resized: int
    first: int
    count: int

    @property
    def span(self) -> tuple[float, float]:
        """Where they begin and end among the old ones."""
        return self.first * self.length / self.resized, (self.first + self.count) * self.length / self.resized

    @property
    def kept(self) -> slice:
        """They, among the resized."""
        return slice(self.first, self.first + self.count)


def _triangles(pixels: np.ndarray, rows: _Axis, columns: _Axis) -> np.ndarray:
    """uint8 `[rows,columns,3]` by Pillow's BILINEAR."""
    image, how = Image.fromarray(pixels), Image.Resampling.BILINEAR
    if rows.resized * columns.resized <= _WHOLE:
        return np.array(np.asarray(image.resize((columns.resized, rows.resized), how))[rows.kept, columns.kept])
    # A long strip would be gigabytes; Pillow keeps a box in float32, which can change a pixel by a level.
    (top, bottom), (left, right) = rows.span, columns.span
    return np.asarray(image.resize((columns.count, rows.count), how, (left, top, right, bottom)))


def _neighbours(pixels: np.ndarray, rows: _Axis, columns: _Axis) -> np.ndarray:
    """uint8 `[rows,columns,3]` as by OpenCV's INTER_LINEAR, which counts in steps of 1/2048."""
    above, below, down = _nearest(rows)
    left, right, along = _nearest(columns)
    down, along = down[:, None, None], along[:, None]
    upper = pixels[np.ix_(above, left)] * (1 - along) + pixels[np.ix_(above, right)] * along
    lower = pixels[np.ix_(below, left)] * (1 - along) + pixels[np.ix_(below, right)] * along
    found: np.ndarray = (upper * (1 - down) + lower * down + 0.5).astype(np.uint8)
    return found


def _nearest(axis: _Axis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two old pixels nearest to each new one, by their centres, and the second one's share, float32."""
    place = (np.arange(axis.count) + axis.first + 0.5) * (axis.length / axis.resized) - 0.5
    place = place.clip(0, axis.length - 1)
    low = place.astype(np.int64)
    return low, np.minimum(low + 1, axis.length - 1), (place - low).astype(np.float32)


def _areas(
    pixels: np.ndarray, rows: tuple[float, float], columns: tuple[float, float], height: int, width: int
) -> np.ndarray:
    """uint8 `[height,width,3]`: the part of `pixels` between two rows and two columns, each axis by its own filter."""
    # Three columns more on each side are all that the bicubic filter can see.
    left, right = max(0, math.floor(columns[0]) - 3), math.ceil(columns[1]) + 3
    pixels, columns = pixels[:, left:right], (columns[0] - left, columns[1] - left)
    if rows[1] - rows[0] > height:
        pixels, rows = _average(pixels, rows, height), (0, height)
    if columns[1] - columns[0] > width:
        # Transposed whole, not pixel by pixel: [M,3,N], four times as fast.
        pixels, columns = _average(pixels.transpose(1, 2, 0), columns, width).transpose(2, 0, 1), (0, width)
    if pixels.dtype != np.uint8:
        pixels = (pixels + 0.5).astype(np.uint8)
    pixels = np.ascontiguousarray(pixels)
    if pixels.shape[:2] == (height, width):
        return pixels
    box = (columns[0], rows[0], columns[1], rows[1])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC, box))


def _average(pixels: np.ndarray, span: tuple[float, float], count: int) -> np.ndarray:
    """float32 `[count,...]` from `[N,...]`: rows averaged over `count` equal parts of `span`, edges by their share.

    (Pillow's BOX takes each source row wholly or not at all, which at ratios near 1 shifts edges by half a pixel.)
    """
    flat = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    edges = np.linspace(*span, count + 1)
    low, high = edges[:-1], edges[1:]
    first = np.floor(low).astype(np.int64)
    shares = []
    for step in range(int((np.ceil(high) - first).max())):
        row = first + step
        covered = np.minimum(high, row + 1) - np.maximum(low, row)
        share = (np.maximum(covered, 0) * count / (span[1] - span[0])).astype(np.float32)
        shares.append((np.minimum(row, len(flat) - 1), share[:, None]))
    result = np.empty((count, flat.shape[1]), np.float32)
    part = np.empty((min(_BLOCK, count), flat.shape[1]), np.float32)
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        (row, share), *others = shares
        np.multiply(flat[row[block]], share[block], out=result[block])
        for row, share in others:
            result[block] += np.multiply(flat[row[block]], share[block], out=part[: len(row[block])])
    return result.reshape(count, *pixels.shape[1:])
