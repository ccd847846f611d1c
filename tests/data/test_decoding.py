"""The decoding policy: every kind of file becomes the RGB it shows, or is refused with a reason."""

import contextlib
import gzip
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from alexnet.data.decoding import Refused, decode, encode

RAMP = np.stack(np.broadcast_arrays(np.arange(48)[:, None] * 5, np.arange(64)[None] * 4 - 1 + 1, 90), 2).astype(
    np.uint8
)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def photo() -> Image.Image:
    return Image.fromarray(RAMP)


def error(pixels: np.ndarray, expected: np.ndarray = RAMP) -> float:
    assert pixels.shape == expected.shape
    assert (pixels.dtype, pixels.flags.c_contiguous) == (np.uint8, True)
    return float(np.abs(pixels.astype(float) - expected).max())


def as_grey(pixels: np.ndarray = RAMP) -> np.ndarray:
    return np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None], 3, 2)


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_lossless_formats(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    assert error(decode(saved(photo(), form, **options))) == 0


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2}])
def test_jpeg(options: dict[str, Any]) -> None:
    assert error(decode(saved(photo(), "JPEG", quality=95, **options))) < 12


def test_grey_jpeg() -> None:
    assert error(decode(saved(photo().convert("L"), "JPEG", quality=95)), as_grey()) < 8


def test_four_inks_as_pillow_and_adobe_invert_them() -> None:
    inks = photo().convert("CMYK")
    assert error(decode(saved(inks, "TIFF"))) < 4
    assert error(decode(saved(inks, "JPEG", quality=95))) < 16
    # An Adobe marker (segment APP14) says that the inks are stored inverted: photographs are, and show as photographs.
    stored = 255 - np.asarray(inks)
    ycck = simplejpeg.encode_jpeg(np.ascontiguousarray(stored), 95, "CMYK", "444")
    assert simplejpeg.decode_jpeg_header(ycck)[2] == "YCCK"
    assert b"Adobe" in ycck[:100]
    assert error(decode(ycck)) < 16
    with pytest.raises(Refused, match="truncated"):
        decode(ycck[: len(ycck) // 2])


def test_palette_and_bilevel() -> None:
    palette = photo().quantize(64)
    expected = np.asarray(palette.convert("RGB"))
    for form in ("PNG", "GIF"):
        assert error(decode(saved(palette, form)), expected) == 0
    bits = photo().convert("1")
    assert error(decode(saved(bits, "PNG")), np.asarray(bits.convert("RGB"))) == 0


def test_alpha_goes_over_white() -> None:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, 32:] = 255
    image = Image.fromarray(np.dstack([RAMP, alpha]))
    expected = np.where(alpha[:, :, None] == 255, RAMP, 255)
    assert error(decode(saved(image, "PNG")), expected) == 0
    grey = Image.merge("LA", (photo().convert("L"), Image.fromarray(alpha)))
    assert error(decode(saved(grey, "PNG")), np.where(alpha[:, :, None] == 255, as_grey(), 255)) <= 1
    keyed = Image.fromarray(np.full((48, 64, 3), 7, np.uint8))
    assert (decode(saved(keyed, "PNG", transparency=(7, 7, 7))) == 255).all()
    palette = Image.new("P", (64, 48), 1)
    palette.putpalette([0, 0, 0, 200, 10, 20])
    assert (decode(saved(palette, "GIF", transparency=1)) == 255).all()


def test_sixteen_bits_are_scaled_not_cut() -> None:
    values = np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)
    expected = np.repeat(np.rint(values / 257).astype(np.uint8)[:, :, None], 3, 2)
    for form in ("PNG", "TIFF"):
        assert error(decode(saved(Image.fromarray(values), form)), expected) == 0
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)]
    colours = np.stack([values, values[::-1], values[:, ::-1]], 2)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
    chunks += [b"IDAT" + zlib.compress(rows), b"IEND"]
    body = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    assert error(decode(b"\x89PNG\r\n\x1a\n" + body), np.rint(colours / 257).astype(np.uint8)) <= 1
    with pytest.raises(Refused, match="mode F"):
        decode(saved(Image.fromarray(values.astype(np.float32)), "TIFF"))


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    assert tuple(decode(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0, 0]) == (255, 0, 0)


def test_gzip_wrapped() -> None:
    data = saved(photo(), "JPEG")
    np.testing.assert_array_equal(decode(gzip.compress(data)), decode(data))
    with pytest.raises(Refused, match="gzip"):
        decode(gzip.compress(data)[:-20])
    with pytest.raises(Refused, match="gzip"):
        decode(b"\x1f\x8b nonsense")


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_orientation(form: str, tag: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    data = saved(photo(), form, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert error(decode(data), expected) < (3 if form == "JPEG" else 1)
    if form != "TIFF":
        assert decode(data, orientation=False).shape == RAMP.shape


def test_a_damaged_exif_block_says_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(photo(), "JPEG", exif=exif)
    place = data.index(b"Exif\0\0") + 10
    assert decode(data[:place] + b"\xff\xff\xff\x7f" + data[place + 4 :]).shape == RAMP.shape


def damaged(position: float) -> bytes:
    data = saved(photo(), "JPEG", quality=95)
    return data[: int(len(data) * position)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lambda: b"", "empty"),
        (lambda: b"hello, this is a text", "not an image"),
        (lambda: b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "a HEIC photograph; convert it to JPEG first"),
        (lambda: b"\0\0\0\x20ftypisom\0\0\x02\0isomavc1", "not an image"),  # a film
        (lambda: b"\xff\xd8\xff", "not an image"),
        (lambda: damaged(0.7), "truncated"),
        (lambda: damaged(0.97), "truncated"),
        (lambda: damaged(0.7) + b"\xff\xd9", "truncated"),
        (lambda: saved(photo(), "JPEG", progressive=True)[:-150], "truncated"),
        (lambda: saved(photo(), "PNG")[:-40], "truncated"),
        (lambda: saved(photo(), "PNG", compress_level=0)[:5000], "truncated"),
        (lambda: saved(photo(), "BMP")[:-900], "truncated"),
        (lambda: saved(photo(), "WEBP")[:-60], "damaged|not an"),
        (lambda: saved(photo(), "GIF")[:-200], "truncated|damaged"),
        (lambda: saved(photo(), "TIFF")[:3000], "truncated|damaged|not an"),
        (lambda: saved(Image.new("L", (9, 9)), "ICO"), "not an image"),
        (lambda: saved(Image.new("LAB", (9, 9)), "TIFF"), "mode LAB"),
    ],
)
def test_refusals(data: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(Refused, match=reason) as first:
        decode(data())
    with pytest.raises(Refused) as second:
        decode(data())
    assert first.value.reason == second.value.reason != ""


def test_bytes_after_the_picture_do_no_harm() -> None:
    data = saved(photo(), "JPEG", quality=95)
    np.testing.assert_array_equal(decode(data + b"\0" * 100), decode(data))
    place = data.index(b"\xff\xda")
    odd = data[:place] + b"\0\0\0" + data[place:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(odd)
    np.testing.assert_allclose(decode(odd).astype(int), decode(data), atol=3)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_limit_is_our_own(form: str) -> None:
    data = saved(photo(), form)
    assert decode(data, limit=48 * 64).shape == RAMP.shape
    with pytest.raises(Refused, match="64×48 is over the limit of 3071 pixels"):
        decode(data, limit=48 * 64 - 1)


def test_between_pillows_warning_and_our_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert decode(saved(photo(), "PNG")).shape == RAMP.shape
    assert Image.MAX_IMAGE_PIXELS == 2000


def test_large_jpegs_are_decoded_at_a_fitting_scale() -> None:
    wave = np.repeat((np.sin(np.arange(80) / 9)[:, None] * 100 + 120 + np.zeros(101))[:, :, None], 3, 2).astype(
        np.uint8
    )
    data = saved(Image.fromarray(wave), "JPEG", quality=95)
    assert decode(data, shortest=41).shape == (80, 101, 3)
    assert decode(data, shortest=40).shape == (40, 51, 3)
    assert decode(data, shortest=20).shape == (20, 26, 3)
    assert decode(data, shortest=2).shape == (20, 26, 3)


def test_encoding_is_near_and_repeatable() -> None:
    data = encode(RAMP)
    assert data == encode(RAMP.copy(order="F"))
    assert error(decode(data)) < 12
    assert simplejpeg.decode_jpeg_header(data)[3] == "420"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_damage_of_any_kind_is_a_refusal_or_a_picture(form: str) -> None:
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = np.frombuffer(saved(photo(), form, exif=exif) if form != "BMP" else saved(photo(), form), np.uint8)
    for _ in range(60):
        data = whole.copy()
        places = random.integers(0, len(data) if random.random() < 0.5 else 120, random.integers(1, 6))
        data[places] = random.integers(0, 256, len(places))
        with contextlib.suppress(Refused):
            assert decode(data.tobytes(), limit=10_000_000).shape[2] == 3
