"""Bytes of an image file to the uint8 RGB that it shows, by a written policy (docs/data.md); and to JPEG again.

JPEG is decoded by simplejpeg (libjpeg-turbo, without the interpreter's lock), everything else by Pillow, which is
also the second opinion on a JPEG that simplejpeg refuses. Training, evaluation and serving all come through here.
"""

import io
import math
import re
import struct
import threading
import zlib

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

LIMIT = 178_956_970
"""Pixels above which a file is refused unread: Pillow's own bound against decompression bombs."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

_OPENING = threading.Lock()
_MOST_UNZIPPED = 1 << 28
_GZIP = b"\x1f\x8b"
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1")  # the brands of a HEIC file


class Refused(Exception):
    """The reason, in a few words for people, why a file cannot become an image."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(data: bytes, limit: int = LIMIT, *, orientation: bool = True, shortest: int | None = None) -> np.ndarray:
    """uint8 `[H,W,3]`, RGB 0..255, from the bytes of an image file.

    Args:
        limit: more pixels than this are refused before they are decoded.
        orientation: turn and mirror as the EXIF tag says.
        shortest: a JPEG may come at 1/2 or 1/4 of its scale while its shorter side stays at least this long.

    Raises:
        Refused: the file cannot be decoded in full.
    """
    data = unwrapped(data)
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


def encode(pixels: np.ndarray, quality: int = 95) -> bytes:
    """JPEG bytes of uint8 `[H,W,3]` RGB, 4:2:0 as the authors' batches (OpenCV's habit): 4:4:4 is a third slower."""
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "420")
    return data


def unwrapped(data: bytes, most: int = _MOST_UNZIPPED) -> bytes:
    """What a gzip wrapper holds (26 files of ImageNet have one), else `data` itself.

    Raises:
        Refused: the wrapper is damaged, cut short, holds more than `most` bytes, or another one.
    """
    if not data.startswith(_GZIP):
        return data
    stream = zlib.decompressobj(wbits=31)
    try:
        inner = stream.decompress(data, most)
    except zlib.error as error:
        raise Refused(f"damaged gzip wrapper: {error}") from None
    if not stream.eof or inner.startswith(_GZIP):
        raise Refused(f"truncated gzip wrapper, or one around another or more than {most / (1 << 20):.3g} MB")
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
        if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
            raise Refused("a HEIC photograph; convert it to JPEG first") from None
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
