"""Directories whose classes are not told by folders are recognised, with what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from convscout.search_space.errors import DataError
from convscout.trials.data.foreign_layouts import describe_layout, describe_names
from convscout.trials.data.image_tree import scan

LAYOUTS = {
    "YOLO": (("images/1.jpg", "labels/1.txt", "data.yaml"), r"detection \(YOLO.*cut out each box"),
    "YOLO, split": (("images/train/1.jpg", "labels/train/1.txt"), "YOLO"),
    "COCO": (("train2017/1.jpg", "annotations/instances.json"), r"detection \(COCO"),
    "a table": (("images/1.jpg", "labels.csv"), r"in a table \(labels\.csv\); put each image into a folder"),
    "named files": (("cat.0.jpg", "dog.1.jpg"), r"names of its files \(cat, dog\).*/cat/1\.png"),
    "around": (("a/b/images/1.jpg", "a/b/labels.csv"), r"in a table \(labels\.csv\).*/a/b/cat/1\.png"),
    "a table without labels": (("images/1.jpg", "sample_submission.csv"), "^$"),
    "nothing": (("notes.txt",), "^$"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_by_its_files(name: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[name]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert re.search(expected, describe_layout(tmp_path))
    assert re.search(expected.replace(".*/", ".*"), describe_names(files))


def test_a_directory_that_is_not_there_looks_like_nothing(tmp_path: Path) -> None:
    assert describe_layout(tmp_path / "none") == ""


def test_who_scans_such_a_directory_is_told_what_it_looks_like(tmp_path: Path) -> None:
    for file in ("images/1.png", "labels/1.txt"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    with pytest.raises(DataError, match=r"labels has no images .*; it looks like data for detection \(YOLO"):
        scan(tmp_path)


def test_a_table_of_labels_is_named_where_all_images_lie_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for file in ("images/1.png", "labels.csv"):
        (tmp_path / file).touch()
    with pytest.raises(DataError, match=r"has images/ alone for a class; its labels seem .* \(labels\.csv\)"):
        scan(tmp_path)
