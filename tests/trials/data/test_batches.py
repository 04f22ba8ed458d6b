"""Batches normalise, shuffle and never touch the data they are drawn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from convscout.search_space.augmentation import augmentations
from convscout.trials.data.batches import Batches
from convscout.trials.data.splits import LabelledImages, Normalization
from tests.support.digits import digits

NONE = augmentations.get("none")()
CPU = torch.device("cpu")


def _batches(size: int, channels: int = 3) -> tuple[LabelledImages, Batches]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, 6, 6, channels), dtype=np.uint8)
    images.flags.writeable = False  # as Ray hands it out
    data = LabelledImages(images=images, labels=np.arange(size) % 4)
    normalization = Normalization(mean=(0.5,) * channels, std=(0.25,) * channels)
    return data, Batches(data, normalization, num_classes=4, device=CPU)


def test_images_come_normalised_channels_last_and_in_order() -> None:
    data, batches = _batches(10)
    images = torch.cat(list(batches.in_order(batch_size=4)))
    expected = (torch.tensor(data.images).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    torch.testing.assert_close(images, expected, rtol=1e-5, atol=1e-5)
    assert next(iter(batches.in_order())).is_contiguous(memory_format=torch.channels_last)


def test_an_epoch_shows_every_image_once_with_its_own_label() -> None:
    data, batches = _batches(50)
    drawn = list(batches.shuffled(16, NONE, torch.Generator().manual_seed(1)))
    images, targets = torch.cat([d[0] for d in drawn]), torch.cat([d[1] for d in drawn])
    assert images.shape == (50, 3, 6, 6) and targets.shape == (50, 4)
    straight = torch.cat(list(batches.in_order()))
    for image, target in zip(images, targets, strict=True):
        (index,) = (straight == image).flatten(1).all(dim=1).nonzero().flatten().tolist()
        assert target.argmax().item() == data.labels[index] and target.sum().item() == 1


def test_the_same_seed_draws_the_same_batches() -> None:
    _, batches = _batches(40)
    first, second, other = (
        [images for images, _ in batches.shuffled(16, NONE, torch.Generator().manual_seed(seed))]
        for seed in (1, 1, 2)
    )
    assert all(map(torch.equal, first, second))
    assert not all(map(torch.equal, first, other))


def test_mirrored_images_are_so_before_anything_else_is_done_to_them() -> None:
    _, batches = _batches(40)
    mirrored = torch.arange(40) % 3 == 0
    straight, turned = (
        torch.cat(
            [images for images, _ in batches.shuffled(16, NONE, torch.Generator().manual_seed(1), each)]
        )
        for each in (None, mirrored)
    )
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for image, before, is_mirrored in zip(turned, straight, mirrored[order], strict=True):
        torch.testing.assert_close(image, before.flip(2) if is_mirrored else before)


@pytest.mark.parametrize(
    ("size", "expected"), [(32, [16, 16]), (33, [16, 17]), (39, [16, 23]), (40, [16, 16, 8]), (5, [5])]
)
def test_a_few_last_images_join_the_batch_before(size: int, expected: list[int]) -> None:
    _, batches = _batches(size)
    sizes = [len(images) for images, _ in batches.shuffled(16, NONE, torch.Generator())]
    assert sizes == expected


@pytest.mark.parametrize("name", augmentations.names())
def test_augmenting_never_writes_to_the_data(name: str) -> None:
    data = digits().train
    before = data.images.copy()
    batches = Batches(data, digits().normalization, num_classes=10, device=CPU)
    for images, _ in batches.shuffled(256, augmentations.get(name)(), torch.Generator()):
        images.zero_()
    assert np.array_equal(data.images, before)


def test_a_study_never_hands_its_test_images_to_a_worker() -> None:
    names = {field for field in vars(digits()) if "test" in field}
    assert not names
    assert replace(digits()).fingerprint == digits().fingerprint
