"""Images are resized as Pillow does it, from the square in their middle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from convscout.services.ensembles.resizing import CentreSquare


@pytest.mark.parametrize("side", [16, 17, 50, 7, 1])
def test_a_square_is_resized_as_pillow_does(side: int) -> None:
    pixels = np.random.default_rng(side).integers(256, size=(side, side)).astype(np.float32)
    wanted = np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR))
    found = CentreSquare(16)(torch.tensor(pixels)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_images_of_the_right_size_stay_as_they_are() -> None:
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(CentreSquare(16)(images), images)


@pytest.mark.parametrize("axis", [2, 3])
def test_what_is_beyond_the_square_in_the_middle_is_not_seen(axis: int) -> None:
    images = torch.rand(2, 3, 16, 16)
    wide = torch.cat([torch.zeros_like(images), images, torch.ones_like(images)], dim=axis)
    torch.testing.assert_close(CentreSquare(16)(wide), images)
