"""Pictures become squares: by exact areas, and by the filters of torchvision and Caffe as those compute them."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from alexnet.data import squaring
from alexnet.data.decoding import Refused, decode
from alexnet.data.squaring import GREY, Filter, Geometry, Squaring

FILTERS = ("area", "pillow-bilinear", "opencv-linear")
SHAPES = [(375, 500), (500, 333), (300, 301), (64, 64), (100, 80), (40, 97), (37, 41), (700, 65), (3, 200)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape[0]).integers(0, 256, (*shape, 3), np.uint8)


def area(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mean over each new pixel's exact area, by repeating pixels up to a common multiple."""
    fine = pixels.repeat(height, 0).repeat(width, 1).astype(float)
    return fine.reshape(height, pixels.shape[0], width, pixels.shape[1], 3).mean((1, 3))


def test_shrinking_averages_exact_areas() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (24, 30, 3), np.uint8)
    np.testing.assert_allclose(Squaring(16, "warp").of_pixels(drawn), area(drawn, 16, 16), atol=0.51)
    # The shorter side becomes 16, the longer 20, of which the central 16 stay.
    np.testing.assert_allclose(Squaring(16).of_pixels(drawn), area(drawn, 16, 20)[:, 2:18], atol=0.51)
    tall = drawn.transpose(1, 0, 2)
    np.testing.assert_array_equal(Squaring(16).of_pixels(tall), Squaring(16).of_pixels(drawn).transpose(1, 0, 2))


def test_enlarging_is_bicubic() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)
    whole = Image.fromarray(drawn).resize((24, 20), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(Squaring(20).of_pixels(drawn).astype(int), np.asarray(whole)[:, 2:22], atol=1)


@pytest.mark.parametrize("filter", FILTERS)
def test_the_right_size_is_untouched(filter: Filter) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (32, 44, 3), np.uint8)
    np.testing.assert_array_equal(Squaring(32, filter=filter).of_pixels(drawn), drawn[:, 6:38])
    for geometry in ("pad", "warp"):
        np.testing.assert_array_equal(Squaring(32, geometry, filter).of_pixels(drawn[:, :32]), drawn[:, :32])


def test_padding_keeps_the_whole_picture() -> None:
    padded = Squaring(16, "pad").of_pixels(np.full((20, 40, 3), 200, np.uint8))
    assert (padded[4:12] == 200).all()
    assert (padded[:4] == GREY).all()
    assert (padded[12:] == GREY).all()


def test_warping_mixes_filters() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (32, 8, 3), np.uint8)
    shrunk = area(drawn, 16, 8).round().astype(np.uint8)
    expected = np.asarray(Image.fromarray(shrunk).resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(Squaring(16, "warp").of_pixels(drawn).astype(int), expected, atol=2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (17, 16), (255, 257)])
@pytest.mark.parametrize("geometry", ["crop", "pad", "warp"])
@pytest.mark.parametrize("filter", FILTERS)
def test_any_shape_becomes_square(shape: tuple[int, int], geometry: Geometry, filter: Filter) -> None:
    pixels = np.full((*shape, 3), 77, np.uint8)
    result = Squaring(16, geometry, filter).of_pixels(pixels)
    assert result.shape == (16, 16, 3)
    assert {tuple(p) for p in result.reshape(-1, 3)} <= {(77, 77, 77), GREY}


def test_other_arrays_are_refused() -> None:
    for array in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(Refused, match="not"):
            Squaring().of_pixels(array)


def torchvisions(image: Image.Image, size: int, crop: int) -> np.ndarray:
    """torchvision's Resize(size) and CenterCrop(crop), written out."""
    width, height = image.size
    short, long = (width, height) if width <= height else (height, width)
    longer = int(size * long / short)
    new = (size, longer) if width <= height else (longer, size)
    image = image.resize(new, Image.Resampling.BILINEAR)
    top, left = round((image.height - crop) / 2.0), round((image.width - crop) / 2.0)
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


@pytest.mark.parametrize("shape", SHAPES)
def test_pillow_bilinear_is_torchvisions_resize_and_crop(shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    found = Squaring(64, "crop", "pillow-bilinear").of_pixels(pixels)
    np.testing.assert_array_equal(found, torchvisions(Image.fromarray(pixels), 64, 64))
    # The network's centre view, cut of the square in turn, is theirs too.
    np.testing.assert_array_equal(found[4:60, 4:60], torchvisions(Image.fromarray(pixels), 64, 56))


def test_pillow_bilinear_weighs_by_a_triangle() -> None:
    pixels, size = noise(50, 31), 20
    found = Squaring(size, "warp", "pillow-bilinear").of_pixels(pixels)
    shares = []
    for length in (50, 31):
        scale, table = length / size, np.zeros((size, length))
        for new in range(size):
            for old in range(length):
                table[new, old] = max(0.0, 1 - abs(old + 0.5 - (new + 0.5) * scale) / max(scale, 1))
        shares.append(table / table.sum(1, keepdims=True))
    np.testing.assert_allclose(found, np.einsum("ir,jc,rck->ijk", *shares, pixels), atol=1)


@pytest.mark.parametrize("geometry", ["crop", "warp"])
def test_opencv_linear_looks_at_two_neighbours(geometry: Geometry) -> None:
    pixels, size = noise(37, 90), 16
    found = Squaring(size, geometry, "opencv-linear").of_pixels(pixels)
    whole, first = (38, 11) if geometry == "crop" else (size, 0)  # 16 * 90 / 37 = 38.9; (38 - 16) / 2
    for row in range(size):
        for column in range(size):
            y = min(max((row + 0.5) * 37 / size - 0.5, 0), 36)
            x = min(max((first + column + 0.5) * 90 / whole - 0.5, 0), 89)
            expected = np.zeros(3)
            for i in (math.floor(y), math.floor(y) + 1):
                for j in (math.floor(x), math.floor(x) + 1):
                    if (share := max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j))) > 0:
                        expected += share * pixels[i, j]
            np.testing.assert_allclose(found[row, column], expected, atol=0.51)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [64, 50])
def test_opencv_linear_is_opencvs_to_one_level(shape: tuple[int, int], size: int) -> None:
    cv2 = pytest.importorskip("cv2")
    pixels = noise(*shape)
    expected = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    found = Squaring(size, "warp", "opencv-linear").of_pixels(pixels)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found == expected).mean() > 0.7


def test_the_filters_are_three() -> None:
    made = [Squaring(32, "warp", filter).of_pixels(noise(100, 80)).astype(int) for filter in FILTERS]
    assert np.abs(made[0] - made[1]).mean() > 3
    assert np.abs(made[0] - made[2]).mean() > 3
    assert np.abs(made[1] - made[2]).mean() > 3


@pytest.mark.parametrize("turned", [False, True])
def test_a_long_strip_takes_no_memory_and_is_near(monkeypatch: pytest.MonkeyPatch, turned: bool) -> None:
    pixels = noise(2, 300).transpose(1, 0, 2) if turned else noise(2, 300)
    way = Squaring(64, "crop", "pillow-bilinear")
    whole = way.of_pixels(pixels)
    monkeypatch.setattr(squaring, "_WHOLE", 1000)
    assert np.abs(way.of_pixels(pixels).astype(int) - whole).max() <= 1
    monkeypatch.undo()
    strip = np.full((1, 1_000_000, 3), 9, np.uint8)  # resized whole it would be 12 GB
    for filter in FILTERS:
        assert (Squaring(64, "crop", filter).of_pixels(strip) == 9).all()


def jpeg(pixels: np.ndarray, tag: int = 1) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(pixels).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def test_a_file_is_decoded_as_the_filters_makers_do() -> None:
    wave = np.sin(np.arange(400) / 9)[:, None] * 100 + 120 + np.zeros(505)
    data = jpeg(np.repeat(wave[:, :, None], 3, 2).astype(np.uint8))
    assert Squaring(64).decoded(data).shape == (200, 253, 3)  # averaged in libjpeg: near to an area's mean
    full, scaled = Squaring(64).of_pixels(decode(data)), Squaring(64).of_file(data)
    assert np.abs(full.astype(int) - scaled).max() <= 3
    theirs = torchvisions(Image.open(io.BytesIO(data)).convert("RGB"), 64, 64)
    found = Squaring(64, "crop", "pillow-bilinear").of_file(data)
    assert np.abs(found.astype(int) - theirs).max() <= 1
    for filter in FILTERS[1:]:
        way = Squaring(64, "warp", filter)
        np.testing.assert_array_equal(way.of_file(data), way.of_pixels(decode(data)))


@pytest.mark.parametrize("filter", FILTERS)
def test_orientation_and_limit_hold_for_every_filter(filter: Filter) -> None:
    data = jpeg(noise(40, 60), tag=6)
    as_stored, turned = (Squaring(16, "warp", filter, orientation).of_file(data) for orientation in (False, True))
    assert np.abs(np.rot90(as_stored, -1).astype(int) - turned).max() <= 1
    assert np.abs(as_stored.astype(int) - turned).max() > 20
    with pytest.raises(Refused, match="60×40 is over the limit of 2399 pixels"):
        Squaring(16, "warp", filter).of_file(data, 2399)
