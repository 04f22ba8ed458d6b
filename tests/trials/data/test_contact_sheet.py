"""Contact sheet: the right images, crisp, and only of the training split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from convscout.trials.data.contact_sheet import contact_sheet
from convscout.trials.data.splits import DataSplits, LabelledImages

LEVELS = {"train": 60, "validation": 120, "test": 180}


def plain(level: int, *, side: int = 8) -> LabelledImages:
    """Twelve images, of which those of class 1 are brighter by 20."""
    labels = np.arange(12) % 2
    images = np.zeros((12, side, side, 3), dtype=np.uint8)
    images[..., 1] = (level + 20 * labels)[:, np.newaxis, np.newaxis]
    return LabelledImages(images=images, labels=labels.astype(np.int64))


@pytest.fixture
def splits() -> DataSplits:
    return DataSplits(
        name="made",
        train=plain(LEVELS["train"]),
        validation=plain(LEVELS["validation"]),
        _test=plain(LEVELS["test"]),
        class_names=("cat", "a dog with a name that is far too long to be shown"),
    )


def tiles(path: Path) -> npt.NDArray[np.uint8]:
    """The green of the coloured pixels (H, W), 0 where the sheet is not coloured."""
    pixels = np.asarray(Image.open(path))
    coloured = (pixels[..., 0] == 0) & (pixels[..., 2] == 0)
    return np.where(coloured, pixels[..., 1], 0).astype(np.uint8)


def test_each_row_shows_its_class_and_only_training_images(splits: DataSplits, tmp_path: Path) -> None:
    contact_sheet(splits, tmp_path / "new" / "sheet.png", per_class=3)
    green = tiles(tmp_path / "new" / "sheet.png")
    half = green.shape[0] // 2
    for rows, level in ((green[:half], 60), (green[half:], 80)):
        assert (rows == level).sum() == 3 * 56 * 56  # 8 pixels enlarged by 7, three times
    assert not np.isin(green, [120, 140, 180, 200]).any()


def test_enlarging_invents_no_level(splits: DataSplits, tmp_path: Path) -> None:
    images = splits.train.images.copy()
    images[:, ::2, ::2, 1] = 250
    contact_sheet(replace(splits, train=replace(splits.train, images=images)), tmp_path / "sheet.png")
    levels = set(np.unique(tiles(tmp_path / "sheet.png"))) - {0}
    assert levels == {60, 80, 250}


def test_large_images_keep_their_size(splits: DataSplits, tmp_path: Path) -> None:
    large = [plain(level, side=100) for level in LEVELS.values()]
    wide = replace(splits, train=large[0], validation=large[1], _test=large[2])
    contact_sheet(wide, tmp_path / "sheet.png", per_class=1)
    assert (tiles(tmp_path / "sheet.png") == 60).sum() == 100 * 100


def test_grey_images_can_be_shown(splits: DataSplits, tmp_path: Path) -> None:
    grey = [replace(part, images=part.images[..., 1:2]) for part in (splits.train, splits.validation)]
    contact_sheet(replace(splits, train=grey[0], validation=grey[1], _test=grey[1]), tmp_path / "sheet.png")
    assert np.isin([60, 80], np.asarray(Image.open(tmp_path / "sheet.png"))[..., 0]).all()


def test_the_number_of_classes_is_bounded(splits: DataSplits, tmp_path: Path) -> None:
    contact_sheet(splits, tmp_path / "sheet.png", max_classes=1)
    assert 80 not in tiles(tmp_path / "sheet.png")
