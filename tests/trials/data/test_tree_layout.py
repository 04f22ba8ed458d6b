"""Layouts of image trees: what each is taken for, what is said of it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from convscout.search_space.errors import DataError
from convscout.trials.data.image_tree import scan
from convscout.trials.data.tree_names import find_splits
from tests.support.data_layouts import CLASSES, REFUSED_TREES, TREES, TreeExample, write_images


@pytest.mark.parametrize("example", TREES, ids=lambda example: " ".join(example.folders))
def test_a_layout_means_what_the_page_says(tmp_path: Path, example: TreeExample) -> None:
    tree = scan(example.write(tmp_path / "root"))
    assert tree.class_names == CLASSES
    assert {split: len(files) for split, files in tree.splits.items()} == example.splits
    assert all(CLASSES[file.label] in file.path.split("/") for file in tree.files)
    assert example.note in "\n".join(tree.notes)
    assert bool(tree.notes) == bool(example.note)


@pytest.mark.parametrize(("folders", "reason"), REFUSED_TREES, ids=lambda value: str(value)[:40])
def test_a_layout_that_can_be_read_in_two_ways_is_refused(
    tmp_path: Path, folders: tuple[str, ...], reason: str
) -> None:
    TreeExample(folders=folders, means="", splits={}).write(tmp_path)
    with pytest.raises(DataError) as caught:
        scan(tmp_path)
    assert reason in caught.value.message


@pytest.mark.parametrize("kept", ["runs/convscout.db", "runs/cache/images"])
def test_a_home_among_the_pictures_is_no_class(tmp_path: Path, kept: str) -> None:
    for name in (*CLASSES, "runs/studies/s/plots"):
        write_images(tmp_path / name)
    (tmp_path / kept).mkdir(parents=True) if kept.endswith("images") else (tmp_path / kept).touch()
    tree = scan(tmp_path)
    assert tree.class_names == CLASSES
    assert "runs/" in tree.notes[0]


def test_files_that_are_no_images_of_a_class_are_counted(tmp_path: Path) -> None:
    for name in CLASSES:
        write_images(tmp_path / name)
    write_images(tmp_path, count=2)
    (tmp_path / "cat" / "labels.txt").write_text("cats")
    assert scan(tmp_path).notes == (
        "left out, as they lie in no class folder: 2 image(s)",
        "left out, as they are no images: 1 .txt",
    )


@pytest.mark.parametrize(
    "name", ["train_station", "test-tube", "model train", "trainer", "devil", "testament"]
)
def test_a_word_more_makes_a_class_of_a_split(name: str) -> None:
    assert find_splits([name, "cat", "dog"]) == {}


def test_the_symmetries_are_declared_where_the_classes_lie(tmp_path: Path) -> None:
    write_images(tmp_path / "download" / "cat")
    write_images(tmp_path / "download" / "dog")
    assert scan(tmp_path).top == tmp_path / "download"


def test_accents_in_names_of_classes_are_composed_and_said(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "cafe\u0301")
    write_images(tmp_path / "train" / "tea")
    write_images(tmp_path / "test" / "caf\u00e9")
    write_images(tmp_path / "test" / "tea")
    tree = scan(tmp_path)
    assert tree.class_names == ("caf\u00e9", "tea")
    assert tree.notes == ("accents are composed (NFC) in the names caf\u00e9",)


def test_two_classes_that_look_alike_are_refused_with_both_spelled_out(tmp_path: Path) -> None:
    write_images(tmp_path / "cafe\u0301")
    write_images(tmp_path / "caf\u00e9")
    with pytest.raises(DataError) as caught:
        scan(tmp_path)
    assert r"'cafe\u0301' and 'caf\xe9'; put their images into one" in caught.value.message


def test_a_folder_that_holds_nothing_but_a_link_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"again leads to .* again.*remove the link"):
        scan(tmp_path)
