"""Section 2: how photographs become the network's input."""

import numpy as np
import torch

from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, centre_view
from alexnet.training.recipe import Recipe


def test_the_shorter_side_becomes_256_and_the_central_patch_is_kept():
    photograph = np.random.default_rng(0).integers(0, 256, (512, 768, 3), dtype=np.uint8)
    central = photograph[:, 128:640].astype(float)
    halved = central.reshape(256, 2, 256, 2, 3).mean((1, 3))
    for pixels, expected in ((photograph, halved), (photograph.transpose(1, 0, 2), halved.transpose(1, 0, 2))):
        assert np.abs(Squaring().of_pixels(pixels) - expected).max() <= 0.5 + 1e-6


def test_the_mean_image_is_subtracted_and_nothing_else_is_done():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 256, 256), dtype=torch.uint8, generator=generator)
    mean = 90 + 50 * torch.rand(3, 256, 256, generator=generator)
    shown = centre_view(images, Recipe().views, Statistics(mean, torch.eye(3, dtype=torch.float64)))
    assert torch.equal(shown[:, 0], (images.float() - mean)[..., 16:240, 16:240])
