"""Splits: stratified, seeded and complete; one fingerprint for one content."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convscout.search_space.errors import DataError
from convscout.trials.data.splits import DataSplits, LabelledImages, stratified_split


def some_images(count: int, *, size: int = 4, channels: int = 3, seed: int = 0) -> LabelledImages:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return LabelledImages(images=images, labels=np.arange(count, dtype=np.int64) % 2)


@pytest.fixture
def splits() -> DataSplits:
    return DataSplits(
        name="made",
        train=some_images(20),
        validation=some_images(6, seed=1),
        _test=some_images(8, seed=2),
        class_names=("cat", "dog"),
    )


def test_a_split_is_complete_and_holds_out_the_share_of_every_class() -> None:
    labels = np.repeat(np.array([0, 1, 2]), [100, 50, 10])  # sorted by class, as folders are
    kept, held = stratified_split(labels, 0.2, seed=3)
    assert sorted([*kept, *held]) == list(range(160))
    assert np.bincount(labels[held]).tolist() == [20, 10, 2]
    assert (np.diff(labels[kept]) != 0).sum() > 10, "the kept images must be shuffled"


def test_a_split_depends_on_its_seed_alone() -> None:
    labels = np.arange(200) % 4
    first, second = stratified_split(labels, 0.1, seed=7), stratified_split(labels, 0.1, seed=7)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[1], stratified_split(labels, 0.1, seed=8)[1])


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_tiny_class_is_in_both_parts(share: float) -> None:
    labels = np.array([0, 0, 1, 1, 1])
    for part in stratified_split(labels, share, seed=0):
        assert set(labels[part]) == {0, 1}


def test_a_class_of_one_image_is_named() -> None:
    with pytest.raises(DataError, match="class 'dog' has only 1 image"):
        stratified_split(np.array([0, 0, 1]), 0.5, seed=0, class_names=("cat", "dog"))


def test_the_image_spec_describes_the_images(splits: DataSplits) -> None:
    image = replace(splits, symmetries=("horizontal_flip",)).image
    assert (image.in_channels, image.image_size, image.num_classes) == (3, 4, 2)
    assert image.symmetries == ("horizontal_flip",)


def test_the_normalization_is_that_of_the_training_pixels(splits: DataSplits) -> None:
    pixels = splits.train.images / 255
    assert np.allclose(splits.normalization.mean, pixels.mean(axis=(0, 1, 2)))
    assert np.allclose(splits.normalization.std, pixels.std(axis=(0, 1, 2)))


def test_blank_images_can_be_normalized(splits: DataSplits) -> None:
    blank = replace(splits.train, images=np.zeros_like(splits.train.images))
    assert min(replace(splits, train=blank).normalization.std) > 0


def test_the_normalization_counts_every_block() -> None:
    train = some_images(3000, size=2)
    splits = DataSplits(name="made", train=train, validation=train, _test=train, class_names=("cat", "dog"))
    assert np.allclose(splits.normalization.mean, (train.images / 255).mean(axis=(0, 1, 2)))


@pytest.mark.parametrize("part", ["train", "validation", "_test"])
@pytest.mark.parametrize("field", ["images", "labels"])
def test_the_fingerprint_sees_every_change(splits: DataSplits, part: str, field: str) -> None:
    changed = getattr(getattr(splits, part), field).copy()
    changed.flat[-1] = 1 - changed.flat[-1] if field == "labels" else changed.flat[-1] ^ 1
    other = replace(splits, **{part: replace(getattr(splits, part), **{field: changed})})
    assert other.fingerprint != splits.fingerprint
    assert replace(splits, name="moved").fingerprint == splits.fingerprint


def test_the_fingerprint_sees_the_class_names(splits: DataSplits) -> None:
    assert replace(splits, class_names=("dog", "cat")).fingerprint != splits.fingerprint


def test_images_of_different_sizes_are_refused(splits: DataSplits) -> None:
    with pytest.raises(DataError, match="must be square and all of one size"):
        replace(splits, validation=some_images(6, size=5))
