"""Every augmentation policy: deterministic, whole, in place in memory; and what each does to pixels."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from search_space.augmentation import augmentation_from_dict, augmentations

SHIFTING = ("crop", "crop_flip")


def batch(
    num_images: int = 64, channels: int = 3, side: int = 16, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Images whose every pixel says which image, row and column it is from (exact in bfloat16 up to 256)."""
    grid = torch.arange(side * side).view(1, 1, side, side).expand(num_images, channels, -1, -1)
    images = (
        grid.clone() if dtype is torch.bfloat16 else grid + 1000 * torch.arange(num_images).view(-1, 1, 1, 1)
    )
    return images.to(dtype).contiguous(memory_format=torch.channels_last)


def apply(policy: str, images: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    targets = torch.eye(10)[torch.arange(len(images)) % 10]
    changed, labels = augmentations.get(policy)().apply(images, targets, torch.Generator().manual_seed(seed))
    assert torch.equal(labels, targets)
    return changed, labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", augmentations.names())
def test_shape_type_and_memory_format_stay(policy: str, channels: int, dtype: torch.dtype) -> None:
    images = batch(channels=channels, dtype=dtype)
    before = images.clone()
    changed, _ = apply(policy, images)
    assert (changed.shape, changed.dtype) == (images.shape, dtype)
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


@pytest.mark.parametrize("policy", augmentations.names())
def test_the_generator_alone_decides(policy: str) -> None:
    images = batch()
    torch.manual_seed(1)
    first, _ = apply(policy, images, seed=5)
    state = torch.get_rng_state()
    second, _ = apply(policy, images, seed=5)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    if policy != "none":
        assert not torch.equal(first, apply(policy, images, seed=6)[0])


@pytest.mark.parametrize("policy", SHIFTING)
def test_every_image_keeps_to_its_own_pixels_in_all_channels(policy: str) -> None:
    changed, _ = apply(policy, batch())
    assert torch.equal(changed[:, 0] // 1000, torch.arange(64.0).view(-1, 1, 1).expand(-1, 16, 16))
    assert torch.equal(changed[:, 0], changed[:, 1])


@pytest.mark.parametrize("side", [8, 28, 32])
def test_a_crop_is_a_window_of_the_reflected_image(side: int) -> None:
    images = batch(side=side)
    changed, _ = apply("crop", images)
    most = max(1, round(0.125 * side))
    padded = torch.nn.functional.pad(images, (most,) * 4, mode="reflect")
    offsets = set()
    for before, after in zip(padded, changed, strict=True):
        found = [
            (i, j)
            for i in range(2 * most + 1)
            for j in range(2 * most + 1)
            if torch.equal(before[:, i : i + side, j : j + side], after)
        ]
        assert len(found) == 1
        offsets |= set(found)
    assert len(offsets) > 2 * most  # an offset for each image, over the whole range
    assert {0, 2 * most} <= {i for i, _ in offsets}


def test_half_of_the_images_are_mirrored() -> None:
    images = batch(num_images=400)
    changed, _ = apply("crop_flip", images)
    middle = changed[:, 0, 8, 7:9]
    mirrored = (middle[:, 0] > middle[:, 1]).float().mean().item()
    assert 0.4 < mirrored < 0.6
    plain = apply("crop", images)[0][:, 0, 8, 7:9]
    assert (plain[:, 0] < plain[:, 1]).all()


def test_only_mirroring_needs_a_symmetry() -> None:
    needs = {name: policy.needs for name, policy in augmentations.items()}
    assert needs["crop_flip"] == ("horizontal_flip",)
    assert needs["crop"] == needs["none"] == ()


@pytest.mark.parametrize("policy", augmentations.names())
def test_json_round_trip(policy: str) -> None:
    config = augmentations.get(policy)()
    assert augmentation_from_dict(json.loads(json.dumps(config.to_dict()))) == config
