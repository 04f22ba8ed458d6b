"""The fingerprint: whatever decides what the data means moves it, and nothing else does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscout.trials.data.sources import DataRequest, load
from tests.support.image_trees import noise, write_animals, write_class

REQUEST = {"seed": 0, "validation_share": 0.1, "max_bad_images": 0.2}


def fingerprint(data: str, cache: Path, **changes: object) -> str:
    return load(DataRequest(data=data, cache=cache, **{**REQUEST, **changes})).fingerprint  # type: ignore[arg-type]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_animals(tmp_path / "animals")


def change_a_pixel(root: Path) -> None:
    with Image.open(root / "cat" / "003.png") as image:
        image.putpixel((0, 0), (1, 2, 3))
        image.save(root / "cat" / "003.png")


def move_an_image_to_another_class(root: Path) -> None:
    (root / "cat" / "003.png").rename(root / "dog" / "103.png")


def rename_a_class(root: Path) -> None:
    (root / "cat").rename(root / "cow")


def swap_the_classes(root: Path) -> None:
    (root / "cat").rename(root / "eel")  # it now comes after the dogs


def add_an_image(root: Path) -> None:
    noise(99).save(root / "cat" / "999.png")


def damage_an_image(root: Path) -> None:
    (root / "cat" / "003.png").write_bytes(b"no image")


def add_a_test_split(root: Path) -> None:
    shutil.copytree(root, root / "train")
    shutil.rmtree(root / "cat")
    shutil.rmtree(root / "dog")
    for seed, name in ((7, "cat"), (8, "dog")):
        write_class(root / "test" / name, count=2, seed=seed)


def lose_the_colours(root: Path) -> None:
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            image.convert("L").save(path)


def declare_no_symmetry(root: Path) -> None:
    (root / "convscout.toml").write_text("symmetries = []\n")


@pytest.mark.parametrize(
    "change",
    [
        change_a_pixel,
        move_an_image_to_another_class,
        rename_a_class,
        swap_the_classes,
        add_an_image,
        damage_an_image,
        add_a_test_split,
        lose_the_colours,
        declare_no_symmetry,
    ],
)
def test_what_the_images_mean_moves_it(change: Callable[[Path], None], tree: Path, tmp_path: Path) -> None:
    before = fingerprint(f"folder:{tree}", tmp_path / "cache")
    change(tree)
    assert fingerprint(f"folder:{tree}", tmp_path / "cache") != before


@pytest.mark.parametrize(
    "changes", [{"image_size": 16}, {"share": 0.5}, {"seed": 1}, {"validation_share": 0.3}]
)
def test_what_is_read_of_the_images_moves_it(changes: dict[str, object], tree: Path, tmp_path: Path) -> None:
    data = f"folder:{tree}"
    assert fingerprint(data, tmp_path / "cache", **changes) != fingerprint(data, tmp_path / "cache")


def touch_the_files(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))


def declare_what_holds_anyway(root: Path) -> None:
    (root / "convscout.toml").write_text('symmetries = ["horizontal_flip"]\n')


def write_the_images_in_another_format(root: Path) -> None:
    for path in list(root.rglob("*.png")):
        with Image.open(path) as image:
            image.save(path.with_suffix(".bmp"))
        path.unlink()


@pytest.mark.parametrize(
    "change", [touch_the_files, declare_what_holds_anyway, write_the_images_in_another_format]
)
def test_what_means_the_same_does_not(change: Callable[[Path], None], tree: Path, tmp_path: Path) -> None:
    before = fingerprint(f"folder:{tree}", tmp_path / "cache")
    change(tree)
    assert fingerprint(f"folder:{tree}", tmp_path / "cache") == before


@pytest.mark.parametrize("memory", [0, None])
def test_where_the_images_lie_does_not(memory: int | None, tree: Path, tmp_path: Path) -> None:
    before = fingerprint(f"folder:{tree}", tmp_path / "cache")
    tree.rename(tmp_path / "moved")
    assert fingerprint(f"folder:{tmp_path / 'moved'}", tmp_path / "other", memory=memory) == before


def test_symmetries_of_an_archive_move_it_once_they_are_declared(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(40) % 2

    def saved(name: str, **declared: object) -> str:
        np.savez(tmp_path / name, images=images, labels=labels, **declared)  # type: ignore[arg-type]
        return fingerprint(f"npz:{tmp_path / name}.npz", tmp_path / "cache")

    plain = saved("plain")
    assert saved("none", symmetries=np.array([], dtype=str)) == plain
    assert saved("mirrored", symmetries=["horizontal_flip"]) != plain


def test_it_is_still_what_earlier_versions_computed(tree: Path, tmp_path: Path) -> None:
    assert fingerprint("digits", tmp_path / "cache").startswith("2494e7a29fff")
    assert fingerprint(f"folder:{tree}", tmp_path / "cache").startswith("a9688c4fc22d")
