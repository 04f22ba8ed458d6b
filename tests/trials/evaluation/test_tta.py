"""A view looks at an image more than once and means it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convscout.trials.evaluation.tta import VIEWS, Viewed, best_view


class Corners(nn.Module):
    """Two logits that depend on where things are: the upper left pixel, and the right column."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([images[:, 0, 0, 0], images[:, 0, :, -1].sum(1)], dim=1)


@pytest.mark.parametrize("name", VIEWS)
def test_all_looks_of_an_image_count_the_same(name: str) -> None:
    images = torch.rand(5, 3, 6, 6)
    view = VIEWS[name]
    looks = view.looks(images)
    assert len(looks) == view.passes and all(each.shape == images.shape for each in looks)
    assert torch.equal(looks[0], images)
    expected = torch.stack([Corners()(each) for each in looks]).mean(dim=0)
    torch.testing.assert_close(Viewed(Corners(), view)(images), expected)


def test_a_mirrored_view_does_not_know_left_from_right() -> None:
    images = torch.rand(5, 3, 6, 6)
    viewed = Viewed(Corners(), VIEWS["mirrored"])
    torch.testing.assert_close(viewed(images), viewed(images.flip(3)))
    assert not torch.allclose(Corners()(images), Corners()(images.flip(3)))


def test_a_shifted_view_moves_a_pixel_either_way_and_repeats_the_edge() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    _, one, other = VIEWS["shifted"].looks(image)
    assert one[0, 0].tolist() == [[0, 0, 1], [0, 0, 1], [3, 3, 4]]
    assert other[0, 0].tolist() == [[4, 5, 5], [7, 8, 8], [7, 8, 8]]


def test_only_what_keeps_labels_true_is_mirrored() -> None:
    assert best_view(["horizontal_flip"]).name == "mirrored"
    assert best_view([]).name == "shifted"
