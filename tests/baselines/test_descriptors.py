"""Dense descriptors: SIFT beside OpenCV's at the same points, the others against loops over pixels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from alexnet.baselines.dense_sift import sift
from alexnet.baselines.local_descriptors import (
    LENGTHS,
    Grid,
    binary_patterns,
    colour_statistics,
    describe,
    hog,
)  # fmt: skip

pytest.importorskip("kornia")
pytest.importorskip("skimage")


def picture(seed: int = 0, side: int = 64) -> np.ndarray:
    """uint8 `[3, side, side]`: smooth blobs, some noise."""
    draw = torch.Generator().manual_seed(seed)
    blobs = F.interpolate(torch.rand(1, 3, 9, 9, generator=draw), (side, side), mode="bicubic")[0]
    return ((blobs + 0.02 * torch.randn(3, side, side, generator=draw)).clamp(0, 1) * 255).to(torch.uint8).numpy()


@pytest.mark.parametrize("cell", [4, 6])
def test_sift_agrees_with_opencv_at_the_same_points(cell):
    """OpenCV weighs the patch with a Gaussian and interpolates otherwise: alike, and matched to the same point."""
    cv2 = pytest.importorskip("cv2")
    side = 128
    grey = np.ascontiguousarray(picture(side=side).mean(0).round().astype(np.uint8))
    found, rows, columns = sift(torch.from_numpy(grey).float() / 255, cell, 8)
    places = torch.cartesian_prod(rows, columns)
    inside = ((places > 4 * cell) & (places < side - 4 * cell)).all(1)
    ours = found.reshape(-1, 128)[inside].square().view(-1, 8, 4, 4)  # RootSIFT's squares are SIFT, scaled to sum 1
    # OpenCV's cells are 3 scales wide and a scale is half of a keypoint's size.
    keypoints = [cv2.KeyPoint(float(x), float(y), 2 * cell / 3, 0.0) for y, x in places[inside].tolist()]
    kept, theirs = cv2.SIFT_create().compute(grey, keypoints)
    assert len(kept) == len(keypoints)
    theirs = torch.from_numpy(theirs).view(-1, 4, 4, 8)
    # kornia counts directions the other way round, from another one.
    alike = {
        shift: F.cosine_similarity(ours.flatten(1), theirs.flip(3).roll(shift, 3).permute(0, 3, 1, 2).flatten(1), 1)
        for shift in range(8)
    }
    assert alike[1].mean() > 0.92
    assert alike[1].min() > 0.7
    assert max(alike[shift].mean() for shift in alike if shift != 1) < 0.6
    # Each is nearest to the one at its own point.
    between = F.normalize(ours.flatten(1)) @ F.normalize(theirs.flip(3).roll(1, 3).permute(0, 3, 1, 2).flatten(1)).T
    assert (between.argmax(1) == torch.arange(len(between))).float().mean() > 0.98


def test_a_ramp_has_one_direction():
    found, rows, columns = sift(torch.arange(40.0).expand(30, 40) / 40, 4, 4)
    assert found.shape == (len(rows), len(columns), 128)
    middle = found[2, 3].view(8, 4, 4).square().sum((1, 2))
    assert middle.max() > 0.95 * middle.sum()
    torch.testing.assert_close(found.norm(dim=2), torch.ones(found.shape[:2]))


def test_sift_moves_with_the_picture():
    grey = torch.from_numpy(picture().astype(np.float32)).mean(0) / 255
    one, rows, _ = sift(grey, 4, 4)
    other, _, _ = sift(grey[8:, 4:].contiguous(), 4, 4)
    # Away from the border, where kornia pads.
    torch.testing.assert_close(one[3:-1, 2:-1], other[1:-1, 1:-1], atol=1e-4, rtol=1e-3)
    assert rows[0] == 5.5


@pytest.mark.parametrize(("cell", "stride"), [(4, 4), (6, 4), (3, 5)])
def test_colour_statistics_are_means_and_deviations_of_cells(cell, stride):
    level = torch.from_numpy(picture(side=40).astype(np.float32)) / 255
    found, rows, columns = colour_statistics(level, cell, stride)
    assert found.shape == ((40 - 4 * cell) // stride + 1, (40 - 4 * cell) // stride + 1, 96)
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            patch = level[:, i * stride :, j * stride :].double()
            expected = []
            for y in range(4):
                for x in range(4):
                    part = patch[:, y * cell : (y + 1) * cell, x * cell : (x + 1) * cell]
                    expected += [*part.mean((1, 2)).tolist(), *part.std((1, 2), correction=0).tolist()]
            np.testing.assert_allclose(found[i, j], expected, atol=2e-4)
    assert rows[1] - rows[0] == stride
    assert columns[0] == (4 * cell - 1) / 2


def test_hog_is_scikit_images():
    from skimage.feature import hog as theirs

    grey = picture(side=51).astype(np.float32)[0] / 255
    found, rows, _ = hog(torch.from_numpy(grey), 4, 4)
    expected = theirs(grey.astype(np.float64), 9, (4, 4), (4, 4), "L2-Hys", feature_vector=False)
    assert found.shape == (9, 9, 144)
    # A gradient on the border of two directions may fall to either by rounding.
    close = np.isclose(found, expected.reshape(9, 9, 144), atol=1e-3).all(2)
    assert close.mean() > 0.9
    assert (rows[0], rows[1]) == (7.5, 11.5)


def test_hog_moves_with_the_picture():
    grey = torch.from_numpy(picture(side=60).astype(np.float32))[0] / 255
    dense, coarse = hog(grey, 6, 2)[0], hog(grey, 6, 6)[0]
    torch.testing.assert_close(dense[::3, ::3], coarse)
    moved = hog(grey[8:, 4:].contiguous(), 6, 4)[0]
    torch.testing.assert_close(hog(grey, 6, 4)[0][3:-1, 2:-1], moved[1:-1, 1:-1])


def test_binary_patterns_are_counted_in_cells():
    from skimage.feature import local_binary_pattern

    grey = picture(side=40)[1]
    codes = local_binary_pattern(grey, 8, 1, "nri_uniform").astype(int)
    assert codes.max() < 59
    found, rows, _ = binary_patterns(grey, 4, 4)
    assert found.shape == (7, 7, 236)
    for i, j in ((0, 0), (3, 5), (6, 6)):
        expected = []
        for y in range(2):
            for x in range(2):
                part = codes[4 * i + 8 * y : 4 * i + 8 * y + 8, 4 * j + 8 * x : 4 * j + 8 * x + 8]
                expected.append(np.bincount(part.ravel(), minlength=59))
        counts = np.concatenate(expected)
        np.testing.assert_allclose(found[i, j], np.sqrt(counts / counts.sum()), atol=1e-5)
    assert rows[0] == 7.5


@pytest.mark.parametrize("kind", ["sift", "colour", "hog", "lbp"])
def test_describe_joins_the_scales(kind):
    grid = Grid(cell=4, stride=4, scales=(1.0, 0.5, 0.1))
    found, places = describe(picture(), kind, grid)
    assert found.shape == (len(places), LENGTHS[kind])
    assert found.isfinite().all()
    assert places.min() > 0
    assert places.max() < 1
    alone, _ = describe(picture(), kind, Grid(cell=4, stride=4, scales=(1.0,)))
    assert len(alone) < len(found)
    torch.testing.assert_close(found[: len(alone)], alone)
    torch.testing.assert_close(places.mean(0), torch.full((2,), 0.5), atol=0.02, rtol=0)


@pytest.mark.parametrize("kind", ["sift", "colour", "hog", "lbp"])
def test_a_picture_smaller_than_a_patch_has_no_descriptors(kind):
    found, places = describe(picture(side=12), kind, Grid(cell=8))
    assert found.shape == (0, LENGTHS[kind])
    assert places.shape == (0, 2)
