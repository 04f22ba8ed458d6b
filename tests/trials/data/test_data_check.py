"""Data check: counts, duplicates and the contact sheet."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from convscout.trials.data.data_check import Place, check
from convscout.trials.data.splits import BadImage, DataSplits, LabelledImages

SIDE = 6


def some_images(labels: list[int], seed: int) -> LabelledImages:
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), SIDE, SIDE, 3), dtype=np.uint8)
    return LabelledImages(images=images, labels=np.array(labels, dtype=np.int64))


@pytest.fixture
def splits() -> DataSplits:
    return DataSplits(
        name="made",
        train=some_images([0, 0, 0, 0, 1], seed=0),
        validation=some_images([0, 1], seed=1),
        _test=some_images([1, 1, 0], seed=2),
        class_names=("cat", "dog"),
        skipped=(BadImage(path="cat/1.png", reason="is empty (0 bytes)"),),
    )


def with_copy(part: LabelledImages, index: int, pixels: np.ndarray) -> LabelledImages:
    images = part.images.copy()
    images[index] = pixels
    return replace(part, images=images)


def test_images_are_counted(splits: DataSplits) -> None:
    report = check(splits)
    assert report.sizes == {"train": 5, "validation": 2, "test": 3}
    assert report.class_counts["train"] == {"cat": 4, "dog": 1}
    assert report.class_counts["test"] == {"cat": 1, "dog": 2}
    assert report.balance == 0.25
    assert (report.image_size, report.channels) == (SIDE, 3)
    assert report.fingerprint == splits.fingerprint
    assert report.bad_files == splits.skipped


def test_clean_data_has_no_duplicates(splits: DataSplits) -> None:
    report = check(splits)
    assert {pair: found.num_images for pair, found in report.shared.items()} == {
        "train and validation": 0,
        "train and test": 0,
        "validation and test": 0,
    }
    assert report.conflicting.num_images == 0


def test_an_image_in_two_splits_is_found(splits: DataSplits) -> None:
    leaky = replace(splits, _test=with_copy(splits.open_test(), 1, splits.train.images[4]))
    report = check(leaky)
    assert report.shared["train and test"].num_images == 1
    (places,) = report.shared["train and test"].examples
    assert places == (
        Place(split="train", index=4, class_name="dog"),
        Place(split="test", index=1, class_name="dog"),
    )
    assert report.shared["train and validation"].num_images == 0
    assert report.conflicting.num_images == 0


def test_an_image_with_two_labels_is_found(splits: DataSplits) -> None:
    unclear = replace(splits, train=with_copy(splits.train, 0, splits.train.images[4]))
    report = check(unclear)
    assert report.conflicting.num_images == 1
    assert [place.class_name for place in report.conflicting.examples[0]] == ["cat", "dog"]


def test_only_a_few_examples_are_kept(splits: DataSplits) -> None:
    twins = replace(
        splits, train=some_images([0, 1] * 10, seed=3), validation=some_images([0, 1] * 10, seed=3)
    )
    found = check(twins).shared["train and validation"]
    assert found.num_images == 20
    assert len(found.examples) == 5


def test_a_report_is_plain_json(splits: DataSplits) -> None:
    report = json.loads(json.dumps(check(splits).to_dict()))
    assert report["class_counts"]["train"]["dog"] == 1
    assert report["bad_files"] == [{"path": "cat/1.png", "reason": "is empty (0 bytes)"}]
