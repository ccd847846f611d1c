"""Bytes of an image file to the square uint8 RGB the network's data is stored as, by a written policy (docs/data.md).

JPEG is decoded by simplejpeg (libjpeg-turbo, without the interpreter's lock), everything else by Pillow, which is
also the second opinion on a JPEG that simplejpeg refuses. Training, evaluation and serving all come through here.
"""

import io
import math
import re
import struct
import threading
import zlib
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

Geometry = Literal["crop", "pad", "warp"]

LIMIT = 178_956_970
"""Pixels above which a file is refused unread: Pillow's own bound against decompression bombs."""

GREY = (127, 120, 105)
"""The colour around a padded picture: ImageNet's mean colour, as the authors' "2012-full" had."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

_OPENING = threading.Lock()
_MOST_UNZIPPED = 1 << 28
_BLOCK = 64  # rows averaged together: their sums stay in the cache


class Refused(Exception):
    """The reason, in a few words for people, why a file cannot become an image."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def picture(
    data: bytes, size: int = 256, geometry: Geometry = "crop", *, orientation: bool = True, limit: int = LIMIT
) -> np.ndarray:
    """uint8 `[size,size,3]`, RGB 0..255: an image file as a prepared set stores it (before any re-encoding).

    A JPEG whose shorter side is still twice `size` at 1/2 (1/4) of its scale is decoded at that scale.

    Raises:
        Refused: the file cannot be decoded in full.
    """
    return square(decode(data, limit, orientation=orientation, shortest=2 * size), size, geometry)


def decode(data: bytes, limit: int = LIMIT, *, orientation: bool = True, shortest: int | None = None) -> np.ndarray:
    """uint8 `[H,W,3]`, RGB 0..255, from the bytes of an image file.

    Args:
        limit: more pixels than this are refused before they are decoded.
        orientation: turn and mirror as the EXIF tag says.
        shortest: a JPEG may come at 1/2 or 1/4 of its scale while its shorter side stays at least this long.

    Raises:
        Refused: the file cannot be decoded in full.
    """
    data = _unwrap(data)
    if not data:
        raise Refused("empty file")
    if data.startswith(b"\xff\xd8"):
        pixels = _decode_jpeg(data, limit, shortest)
        if pixels is not None:
            return _turn(pixels, _exif_of_jpeg(data)) if orientation else pixels
    return _decode_with_pillow(data, limit, orientation)


def opened(image: Image.Image, limit: int = LIMIT, *, orientation: bool = True) -> np.ndarray:
    """uint8 `[H,W,3]`, RGB 0..255, from an image that Pillow has opened or made, by the policy for files.

    Args:
        limit: more pixels than this are refused.
        orientation: turn and mirror as the EXIF tag says that the image still bears.

    Raises:
        Refused: it cannot be decoded in full, or its mode has no agreed way to RGB.
    """
    try:
        _check_size(image.width, image.height, limit)
        image.load()
        exif = image.info.get("exif", b"")
        # Pillow turns a TIFF while loading it: there the tag is part of the format.
        turned = orientation and image.format != "TIFF"
        pixels = _rgb(image)
    except Refused:
        raise
    except Exception as error:
        raise _damaged(error) from None
    return _turn(pixels, exif) if turned else pixels


def square(pixels: np.ndarray, size: int = 256, geometry: Geometry = "crop") -> np.ndarray:
    """uint8 `[size,size,3]` from uint8 `[H,W,3]`.

    "crop": the shorter side becomes `size`, the centre is kept (section 2 of the paper). "pad": the longer side
    becomes `size`, the rest is `GREY`, the picture in the middle. "warp": both sides become `size`. An axis that
    shrinks is averaged over the exact area of each new pixel, one that grows is interpolated bicubically.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise Refused(f"pixels of shape {list(pixels.shape)} and type {pixels.dtype}, not [H,W,3] of uint8")
    height, width = pixels.shape[:2]
    if geometry == "warp":
        return _resize(pixels, (0, height), (0, width), size, size)
    if geometry == "pad":
        longer = max(height, width)
        rows, columns = max(1, round(height * size / longer)), max(1, round(width * size / longer))
        canvas = np.full((size, size, 3), GREY, np.uint8)
        top, left = (size - rows) // 2, (size - columns) // 2
        canvas[top : top + rows, left : left + columns] = _resize(pixels, (0, height), (0, width), rows, columns)
        return canvas
    shorter = min(height, width)
    return _resize(pixels, _middle(height, shorter, size), _middle(width, shorter, size), size, size)


def encode(pixels: np.ndarray, quality: int = 95) -> bytes:
    """JPEG bytes of uint8 `[H,W,3]` RGB, 4:2:0 as the authors' batches (OpenCV's habit): 4:4:4 is a third slower."""
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "420")
    return data


def _unwrap(data: bytes) -> bytes:
    """What a gzip wrapper holds (26 files of ImageNet have one), else `data` itself."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    stream = zlib.decompressobj(wbits=31)
    try:
        inner = stream.decompress(data, _MOST_UNZIPPED)
    except zlib.error as error:
        raise Refused(f"damaged gzip wrapper: {error}") from None
    if not stream.eof:
        raise Refused("truncated (or far too large) gzip wrapper")
    return inner


def _decode_jpeg(data: bytes, limit: int, shortest: int | None) -> np.ndarray | None:
    """The pixels of a JPEG as they are stored; None leaves the file to Pillow: four inks, or odd but not truncated."""
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_size(width, height, limit)
    if colour not in ("YCbCr", "RGB", "Gray"):
        return None
    factor = next((f for f in (4, 2) if shortest and math.ceil(min(height, width) / f) >= shortest), 1)
    try:
        # These minima allow this factor and no odd one such as 3/8, which would be slower than a full decode.
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            data, "RGB", min_height=-(-height // factor), min_width=-(-width // factor), min_factor=factor
        )
    except ValueError as error:
        if "premature end" in str(error).lower():
            raise Refused("truncated") from None
        return None
    return pixels


def _decode_with_pillow(data: bytes, limit: int, orientation: bool) -> np.ndarray:
    try:
        image = _open(data)
    except UnidentifiedImageError:
        raise Refused(f"not an image ({', '.join(FORMATS)})") from None
    except Exception as error:
        raise _damaged(error) from None
    with image:
        return opened(image, limit, orientation=orientation)


def _damaged(error: Exception) -> Refused:
    """The reason in what Pillow says: its decoders raise a dozen kinds for damaged files, and none may stop the set."""
    message = re.sub(r"\s*<[^>]*>", "", str(error))
    return Refused("truncated" if "truncated" in message.lower() else f"damaged: {message}")


def _open(data: bytes) -> Image.Image:
    """The image, its pixels not yet read. Pillow's own limit is off meanwhile: it warns far below ours."""
    with _OPENING:
        theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(data), formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = theirs


def _check_size(width: int, height: int, limit: int) -> None:
    if width * height > limit:
        raise Refused(f"{width}×{height} is over the limit of {limit} pixels")


def _rgb(image: Image.Image) -> np.ndarray:
    """uint8 `[H,W,3]` of the first frame of a loaded image of any mode."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        grey = ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif image.mode not in ("1", "L", "P", "RGB", "CMYK", "YCbCr"):
        raise Refused(f"pixels of mode {image.mode} have no agreed way to RGB")
    return np.array(image.convert("RGB"))


def _exif_of_jpeg(data: bytes) -> bytes:
    """The EXIF block of a JPEG, or nothing."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        block = data[position + 4 : position + 2 + length]
        if marker == 0xE1 and block.startswith(b"Exif\0\0"):
            return block
        position += 2 + length
    return b""


def _turn(pixels: np.ndarray, exif: bytes) -> np.ndarray:
    """`pixels` turned and mirrored by the orientation tag (0x0112) in an EXIF block; a damaged block says nothing."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2], "")
    tag = 1
    try:
        if order:
            (start,) = struct.unpack_from(order + "I", exif, 4)
            (count,) = struct.unpack_from(order + "H", exif, start)
            entries = [struct.unpack_from(order + "HHIH", exif, start + 2 + 12 * i) for i in range(count)]
            tag = next((value for number, kind, _, value in entries if (number, kind) == (0x0112, 3)), 1)
    except struct.error:
        return pixels
    if tag in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if tag in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if tag in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _middle(length: int, shorter: int, size: int) -> tuple[float, float]:
    """Where, along an axis of `length` pixels, the central `size` lie once `shorter` has become `size`."""
    resized = round(length * size / shorter)
    offset = (resized - size) // 2
    return offset * length / resized, (offset + size) * length / resized


def _resize(
    pixels: np.ndarray, rows: tuple[float, float], columns: tuple[float, float], height: int, width: int
) -> np.ndarray:
    """uint8 `[height,width,3]`: the part of `pixels` between two rows and two columns, each axis by its own filter."""
    # Three columns more on each side are all that the bicubic filter can see.
    left, right = max(0, math.floor(columns[0]) - 3), math.ceil(columns[1]) + 3
    pixels, columns = pixels[:, left:right], (columns[0] - left, columns[1] - left)
    if rows[1] - rows[0] > height:
        pixels, rows = _average(pixels, rows, height), (0, height)
    if columns[1] - columns[0] > width:
        pixels, columns = _average(pixels.transpose(1, 0, 2), columns, width).transpose(1, 0, 2), (0, width)
    if pixels.dtype != np.uint8:
        pixels = (pixels + 0.5).astype(np.uint8)
    pixels = np.ascontiguousarray(pixels)
    if pixels.shape[:2] == (height, width):
        return pixels
    box = (columns[0], rows[0], columns[1], rows[1])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC, box))


def _average(pixels: np.ndarray, span: tuple[float, float], count: int) -> np.ndarray:
    """float32 `[count,M,3]` from `[N,M,3]`: rows averaged over `count` equal parts of `span`, edges by their share.

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
    result = np.zeros((count, flat.shape[1]), np.float32)
    part = np.empty((min(_BLOCK, count), flat.shape[1]), np.float32)
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        for row, share in shares:
            result[block] += np.multiply(flat[row[block]], share[block], out=part[: len(row[block])])
    return result.reshape(count, *pixels.shape[1:])
