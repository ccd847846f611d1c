"""Views against formulas written as loops, and their draws: uniform, and a function of (seed, epoch, image) alone."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet import randomness
from alexnet.config import from_json, to_json
from alexnet.data.views import Statistics, Views, centre_view, nine_views, random_view, ten_views
from alexnet.errors import InputError

COVARIANCE = [[4000.0, 3500.0, 3000.0], [3500.0, 3800.0, 3400.0], [3000.0, 3400.0, 4200.0]]


def some(count: int = 6, side: int = 20, seed: int = 0) -> tuple[Tensor, Statistics]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    mean = 90 + torch.rand(3, side, side, generator=generator) * 50
    return images, Statistics(mean, torch.tensor(COVARIANCE, dtype=torch.float64))


def shown(images: Tensor, views: Views, statistics: Statistics, indices: Tensor | None = None, **how: float) -> Tensor:
    indices = torch.arange(len(images)) if indices is None else indices
    how = {"seed": 3, "epoch": 2, **how}
    return random_view(images, indices, views, statistics, **how)[:, 0]  # type: ignore[arg-type]


def by_loop(image: Tensor, index: int, views: Views, statistics: Statistics, colour: float = 1.0) -> np.ndarray:
    """The view of one image in numpy, step by step as the documentation of `Views` says."""
    pixels, mean = image.numpy().astype(np.float64), statistics.mean.numpy().astype(np.float64)
    chunk = torch.tensor([index // views.shared])
    crop, mirror, turn = (randomness.keys(3, purpose, 2, chunk) for purpose in ("crop", "mirror", "turn"))
    slack = pixels.shape[1] - views.crop
    top, left = (int(randomness.integers(crop, draw, slack + 1)) for draw in (0, 1))
    cut, at_crop = (x[:, top : top + views.crop, left : left + views.crop] for x in (pixels, mean))
    middle = slice(slack // 2, slack // 2 + views.crop)

    def moved(x: np.ndarray) -> np.ndarray:
        x = x[:, ::-1] if views.vertical and int(randomness.integers(mirror, 1, 2)) else x
        x = x[:, :, ::-1] if views.horizontal and int(randomness.integers(mirror, 0, 2)) else x
        return np.rot90(x, int(randomness.integers(turn, 0, 4)), axes=(1, 2)) if views.turns else x

    if views.mean == "at_crop":
        view = moved(cut - at_crop)
    elif views.mean == "central":
        view = moved(cut) - mean[:, middle, middle]
    else:
        given = mean.mean((1, 2)) if views.mean == "channel" else np.array(views.mean)
        view = moved(cut) - given[:, None, None]
    if views.colour != "none" and colour > 0:
        values, vectors = np.linalg.eigh(np.array(COVARIANCE))
        vectors *= np.sign(vectors[np.abs(vectors).argmax(0), range(3)])
        alpha = randomness.normals(randomness.keys(3, "colour", 2, torch.tensor([index])), 0, 3)[0].numpy()[::-1]
        scale = views.colour_scale * colour
        if views.colour == "paper":
            view = view + 255 * (vectors @ (alpha * scale * values / 255**2))[:, None, None]
        else:
            view = (view + (vectors @ (alpha * np.sqrt(values)) * scale)[:, None, None]) / (1 + scale)
    divisor = statistics.deviation if views.divisor == "deviation" else views.divisor
    return np.asarray(view / np.broadcast_to(divisor, 3)[:, None, None])


@pytest.mark.parametrize("mean", ["at_crop", "central", "channel", (123.0, 117.5, 104.0)])
@pytest.mark.parametrize("colour", ["none", "paper", "code"])
@pytest.mark.parametrize("moves", [{}, {"horizontal": False}, {"vertical": True}, {"vertical": True, "turns": True}])
def test_random_view_is_the_formula_written_as_a_loop(mean, colour, moves):
    images, statistics = some(8)
    views = Views(crop=13, mean=mean, colour=colour, **moves)
    view = shown(images, views, statistics)
    expected = np.stack([by_loop(image, n, views, statistics) for n, image in enumerate(images)])
    np.testing.assert_allclose(view.numpy(), expected, atol=2e-4)


@pytest.mark.parametrize("divisor", [1.0, 58.0, "deviation", (58.4, 57.1, 57.4)])
@pytest.mark.parametrize("colour", [0.0, 0.5])
def test_divisor_and_the_schedules_factor(divisor, colour):
    images, statistics = some(5)
    views = Views(crop=12, divisor=divisor, colour="code")
    view = shown(images, views, statistics, colour=colour)
    expected = np.stack([by_loop(image, n, views, statistics, colour) for n, image in enumerate(images)])
    np.testing.assert_allclose(view.numpy(), expected, atol=2e-4)


@pytest.mark.parametrize(("side", "crop"), [(32, 24), (256, 224), (256, 227), (20, 20)])
def test_sizes_and_layout(side, crop):
    images, statistics = some(2, side)
    views = Views(crop=crop)
    for result, count in [
        (random_view(images, torch.arange(2), views, statistics, seed=0, epoch=0), 1),
        (centre_view(images, views, statistics), 1),
        (ten_views(images, views, statistics), 10),
        (nine_views(images, views, statistics), 9),
    ]:
        assert result.shape == (2, count, 3, crop, crop)
        assert result.dtype == torch.float32
        flat = result.flatten(0, 1)
        assert flat.is_contiguous(memory_format=torch.channels_last)
        assert flat.data_ptr() == result.data_ptr()


def test_the_memory_layout_of_the_images_changes_nothing():
    images, statistics = some()
    views = Views(crop=13)
    inside = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(shown(images, views, statistics), shown(inside, views, statistics))
    assert torch.equal(ten_views(images, views, statistics), ten_views(inside, views, statistics))


def test_no_images_give_no_views():
    images, statistics = some(0)
    views = Views(crop=13, turns=True)
    assert shown(images, views, statistics).shape == (0, 3, 13, 13)
    assert ten_views(images, views, statistics).shape == (0, 10, 3, 13, 13)


def test_a_view_is_the_same_at_any_split_and_order_of_the_batch():
    images, statistics = some(9)
    views = Views(crop=13, colour="code", vertical=True, turns=True)
    indices = torch.tensor([5, 1_281_166, 0, 17, 3, 64, 2, 90, 33])
    whole = shown(images, views, statistics, indices)
    parts = [shown(images[n : n + 2], views, statistics, indices[n : n + 2]) for n in range(0, 9, 2)]
    order = torch.tensor([8, 1, 0, 3, 7, 5, 6, 2, 4])
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole[order], shown(images[order], views, statistics, indices[order]))


def test_epoch_and_seed_change_the_draws():
    images, statistics = some()
    views = Views(crop=13)
    assert not torch.equal(shown(images, views, statistics), shown(images, views, statistics, epoch=3))
    assert not torch.equal(shown(images, views, statistics), shown(images, views, statistics, seed=4))


def test_offsets_and_mirrors_are_uniform_and_independent():
    """33 × 33 × 2 = 2178 equally likely views, read from pixels that hold their own place."""
    count, side, crop = 40_000, 36, 4
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image = torch.stack([row, column, torch.zeros_like(row)]).to(torch.uint8)
    statistics = Statistics(torch.zeros(3, side, side), torch.eye(3, dtype=torch.float64))
    views = Views(crop=crop, colour="none")
    view = shown(image.expand(count, -1, -1, -1), views, statistics)
    top = view[:, 0, 0, 0].long()
    mirrored = (view[:, 1, 0, 0] > view[:, 1, 0, -1]).long()
    left = view[:, 1, 0].min(1).values.long()
    for values, cells in [(top, 33), (left, 33), (mirrored, 2), (top % 11 * 22 + left % 11 * 2 + mirrored, 242)]:
        counts = torch.bincount(values, minlength=cells).double()
        assert len(counts) == cells
        square = float(((counts - count / cells).square() / (count / cells)).sum())
        assert square < cells - 1 + 5 * (2 * (cells - 1)) ** 0.5


def test_turns_are_uniform():
    images = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2).expand(8000, 3, 2, 2)
    statistics = Statistics(torch.zeros(3, 2, 2), torch.eye(3, dtype=torch.float64))
    for moves, kinds in [({"horizontal": False}, 4), ({}, 8), ({"vertical": True}, 8)]:
        view = shown(images, Views(crop=2, colour="none", turns=True, **moves), statistics)[:, 0].flatten(1)
        _, counts = view.unique(dim=0, return_counts=True)
        assert len(counts) == kinds
        assert float((counts - 8000 / kinds).abs().max()) < 5 * (8000 / kinds) ** 0.5


def test_colour_noise_has_the_stated_size():
    """ImageNet's first axis as cuda-convnet2 kept it: 5.5 grey levels by the text with 0.2175, 12.2 by the code."""
    images = torch.zeros(20_000, 3, 1, 1, dtype=torch.uint8)
    for colour, variance, level in [("paper", 0.2175 * 255**2, 5.5), ("code", 121.78**2, 12.2 / 1.1)]:
        statistics = Statistics(torch.zeros(3, 1, 1), torch.diag(torch.tensor([variance, 0, 0], dtype=torch.float64)))
        noise = shown(images, Views(crop=1, colour=colour, mean="channel"), statistics)[:, :, 0, 0]
        assert float(noise[:, 0].std()) == pytest.approx(level, rel=0.03)
        assert float(noise[:, 0].mean()) == pytest.approx(0, abs=0.4)
        assert noise[:, 1:].abs().max() < 1e-3


def test_32_consecutive_images_share_crop_and_mirror_but_not_colour():
    images, statistics = some(1)
    images = images.expand(96, -1, -1, -1)
    views = Views(crop=13, shared=32, colour="none", mean="central")
    view = shown(images, views, statistics)
    for chunk in view.split(32):
        assert torch.equal(chunk, chunk[:1].expand_as(chunk))
    assert not torch.equal(view[0], view[32])
    coloured = shown(images, dataclasses.replace(views, colour="code"), statistics)
    assert not torch.equal(coloured[0], coloured[1])


def test_without_augmentation_the_centre_is_shown():
    images, statistics = some()
    views = Views(crop=13, augment=False, colour="none")
    assert torch.equal(shown(images, views, statistics), centre_view(images, views, statistics)[:, 0])


@pytest.mark.parametrize("mean", ["at_crop", "central"])
def test_ten_views_are_corners_centre_and_mirrors(mean):
    images, statistics = some(2)
    views = Views(crop=12, mean=mean, divisor=2.0)
    result = ten_views(images, views, statistics)
    assert torch.equal(result[:, 4], centre_view(images, views, statistics)[:, 0])
    for number in range(10):
        top, left = [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)][number % 5]
        cut, at_crop = (x[..., top : top + 12, left : left + 12] for x in (images.float(), statistics.mean))
        if mean == "at_crop":
            expected = (cut - at_crop).flip(3) if number >= 5 else cut - at_crop
        else:
            expected = (cut.flip(3) if number >= 5 else cut) - statistics.mean[:, 4:16, 4:16]
        torch.testing.assert_close(result[:, number], expected / 2)


def test_nine_views_are_a_grid_without_mirrors():
    images, statistics = some(2, 32)
    views = Views(crop=24, mean="channel", colour="none")
    result = nine_views(images, views, statistics)
    assert torch.equal(result[:, 4], centre_view(images, views, statistics)[:, 0])
    for number in range(9):
        top, left = number // 3 * 4, number % 3 * 4
        expected = images[..., top : top + 24, left : left + 24] - statistics.mean.mean((1, 2))[:, None, None]
        torch.testing.assert_close(result[:, number], expected)


def test_statistics():
    pixels = torch.rand(50, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 255
    pixels += torch.arange(36).view(6, 6)
    mean = pixels.mean(0)
    covariance = torch.cov(pixels.permute(1, 0, 2, 3).flatten(1), correction=0)
    statistics = Statistics(mean.float(), covariance)
    assert statistics.deviation == pytest.approx(float((pixels - mean).std(correction=0)), rel=1e-6)
    values, vectors = statistics.eigenvalues, statistics.eigenvectors
    assert bool((values[:-1] >= values[1:]).all())
    torch.testing.assert_close(vectors @ torch.diag(values) @ vectors.T, covariance)
    assert bool((vectors.amax(0) >= -vectors.amin(0)).all())
    torch.testing.assert_close(statistics.channel_mean, mean.mean((1, 2)).float())
    assert torch.equal(statistics.to("cpu").mean, statistics.mean)


@pytest.mark.parametrize(
    ("field", "value"),
    [("crop", 0), ("shared", 0), ("colour", "pca"), ("colour_scale", -0.1), ("mean", "image"), ("mean", (1.0, 2.0)),
     ("divisor", 0.0), ("divisor", "std"), ("divisor", (1.0, 0.0, 1.0)), ("divisor", float("nan"))],
)  # fmt: skip
def test_fields_are_checked(field, value):
    with pytest.raises(InputError, match=f"views.{field}"):
        Views(**{field: value})


def test_a_set_without_any_deviation_is_refused():
    images, _ = some(2)
    statistics = Statistics(torch.zeros(3, 20, 20), torch.zeros(3, 3, dtype=torch.float64))
    with pytest.raises(InputError, match="deviation"):
        centre_view(images, Views(crop=12, divisor="deviation"), statistics)


def test_images_are_checked():
    images, statistics = some(2)
    indices = torch.arange(2)
    for view in (centre_view, ten_views, nine_views):
        with pytest.raises(InputError, match="crop is 21"):
            view(images, Views(crop=21), statistics)
    with pytest.raises(InputError, match="crop is 224"):
        random_view(images, indices, Views(), statistics, seed=0, epoch=0)
    with pytest.raises(InputError, match="uint8"):
        centre_view(images.float(), Views(crop=12), statistics)
    with pytest.raises(InputError, match="different prepared sets"):
        centre_view(images[..., 1:, 1:], Views(crop=12), statistics)


@pytest.mark.parametrize(
    "views",
    [
        Views(),
        Views(mean=(1.0, 2.0, 3.0), divisor=(4.0, 5.0, 6.0)),
        Views(mean="central", divisor="deviation", crop=24),
    ],
)
def test_views_go_to_json_and_back(views):
    assert from_json(Views, to_json(views), "views") == views
