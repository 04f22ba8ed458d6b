"""folder: image trees as people have them, good and bad, written with Pillow by the tests."""

from __future__ import annotations

import itertools
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from convscout.search_space.errors import DataError
from tests.support.image_trees import SIDE, loaded, noise, sizes, write_animals, write_class
from tests.support.packing import png_header
from tests.support.places import ROOT

ARCHIVE = ROOT.parent / "shared" / "data" / "cifar10-jpeg.tar.xz"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of ten images that convscout is to split."""
    return write_animals(tmp_path / "animals")


@pytest.fixture
def cut_tree(tmp_path: Path) -> Path:
    """Two classes, cut into train and test."""
    root = tmp_path / "animals"
    for seed, (split, name) in enumerate(itertools.product(["train", "test"], ["cat", "dog"])):
        write_class(root / split / name, seed=seed)
    return root


def only_image(
    root: Path, image: Image.Image, name: str, *, exif: Image.Exif | None = None
) -> npt.NDArray[np.uint8]:
    """The pixels that ``image`` has once it was saved as ``name`` among others and loaded again."""
    image.save(root / "test" / "cat" / name, exif=exif or Image.Exif())
    for path in (root / "test" / "cat").glob("0*.png"):
        path.unlink()
    test = loaded(root).open_test()
    (pixels,) = test.at(np.flatnonzero(test.labels == 0)).images
    return np.asarray(pixels, dtype=np.uint8)


# layouts


def test_one_tree_is_split_stratified(tree: Path) -> None:
    splits = loaded(tree)
    assert sizes(splits) == (14, 2, 4)
    assert splits.class_names == ("cat", "dog")
    assert np.bincount(splits.open_test().labels).tolist() == [2, 2]
    assert np.array_equal(loaded(tree, seed=5).open_test().images, splits.open_test().images)


def test_images_keep_their_labels(tree: Path) -> None:
    splits = loaded(tree)
    expected = {noise(1000 * (label + 1) + i).tobytes(): label for label in (0, 1) for i in range(10)}
    seen: dict[bytes, int] = {}
    for part in (splits.train, splits.validation, splits.open_test()):
        seen |= {pixels.tobytes(): int(label) for pixels, label in zip(part.images, part.labels, strict=True)}
    assert seen == expected


def test_train_and_test_are_kept_and_validation_is_taken_out_of_train(cut_tree: Path) -> None:
    splits = loaded(cut_tree)
    assert sizes(splits) == (18, 2, 20)
    expected = {noise(1000 * seed + i).tobytes() for seed in (2, 3) for i in range(10)}
    assert {pixels.tobytes() for pixels in splits.open_test().images} == expected


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_is_kept(cut_tree: Path, name: str) -> None:
    write_class(cut_tree / name / "cat", count=3, seed=8)
    write_class(cut_tree / name / "dog", count=4, seed=9)
    splits = loaded(cut_tree)
    assert sizes(splits) == (20, 7, 20)
    assert splits.validation.images[0].tobytes() == noise(8000).tobytes()


def test_train_may_be_the_name_of_a_class(tree: Path) -> None:
    write_class(tree / "train", seed=3)
    assert loaded(tree).class_names == ("cat", "dog", "train")


def test_folders_within_a_class_count_and_hidden_entries_do_not(tree: Path) -> None:
    write_class(tree / "cat" / "more", count=5, seed=4)
    write_class(tree / ".git" / "objects", count=1, seed=5)
    (tree / "cat" / ".DS_Store").write_bytes(b"")
    (tree / "cat" / "Thumbs.db").write_bytes(b"")
    splits = loaded(tree)
    assert sum(sizes(splits)) == 25
    assert splits.skipped == ()


# pixels


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".jpg", ".JPEG"])
def test_every_format_is_read(cut_tree: Path, suffix: str) -> None:
    image = Image.new("RGB", (SIDE, SIDE), (200, 40, 90))
    pixels = only_image(cut_tree, image, f"x{suffix}")
    assert np.abs(pixels.astype(int) - (200, 40, 90)).max() <= 4


def test_palettes_become_colours(cut_tree: Path) -> None:
    image = noise(7).quantize(64)
    assert np.array_equal(only_image(cut_tree, image, "x.png"), np.asarray(image.convert("RGB")))


def test_cmyk_becomes_rgb(cut_tree: Path) -> None:
    pixels = only_image(cut_tree, Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0)), "x.jpg")
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 8


def test_transparency_lies_on_white(cut_tree: Path) -> None:
    image = Image.new("RGBA", (SIDE, SIDE), (10, 20, 30, 0))
    image.paste((10, 20, 30, 255), (0, 0, SIDE, 1))
    pixels = only_image(cut_tree, image, "x.png")
    assert (pixels[0] == (10, 20, 30)).all()
    assert (pixels[1:] == 255).all()


def test_deep_levels_keep_their_high_byte(cut_tree: Path) -> None:
    deep = np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
    pixels = only_image(cut_tree, Image.fromarray(deep), "x.png")
    assert np.array_equal(pixels[..., 0], deep >> 8)


def test_a_photograph_is_turned_upright(cut_tree: Path) -> None:
    image = Image.new("RGB", (SIDE, SIDE))
    image.paste((255, 255, 255), (0, 0, SIDE, SIDE // 2))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90° clockwise
    pixels = only_image(cut_tree, image, "x.png", exif=exif)
    assert (pixels[:, SIDE // 2 :] == 255).all()
    assert (pixels[:, : SIDE // 2] == 0).all()


def test_images_that_are_all_grey_have_one_channel(tmp_path: Path) -> None:
    for label, name in enumerate(["cat", "dog"]):
        (tmp_path / "grey" / name).mkdir(parents=True)
        for index in range(5):
            mode = ("L", "LA", "1")[index % 3]
            noise(10 * label + index, mode=mode).save(tmp_path / "grey" / name / f"{index}.png")
    assert loaded(tmp_path / "grey").image.in_channels == 1


def test_one_colour_image_makes_all_rgb(tree: Path) -> None:
    for path in tree.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    noise(5).save(tree / "cat" / "000.png")
    splits = loaded(tree)
    assert splits.image.in_channels == 3
    parts = (splits.train, splits.validation, splits.open_test())
    coloured = [(pixels[..., 0] != pixels[..., 1]).any() for part in parts for pixels in part.images]
    assert sum(coloured) == 1


def test_mixed_sizes_become_the_most_common_side(tree: Path) -> None:
    noise(1, width=40, height=SIDE * 2).save(tree / "cat" / "wide.png")
    noise(2, width=5, height=9).save(tree / "dog" / "high.png")
    assert loaded(tree).image.image_size == SIDE


def test_the_longer_side_is_cropped_about_the_centre(cut_tree: Path) -> None:
    image = Image.new("RGB", (6 * SIDE, 2 * SIDE), (255, 0, 0))
    image.paste((0, 0, 255), (2 * SIDE, 0, 4 * SIDE, 2 * SIDE))
    pixels = only_image(cut_tree, image, "x.png")
    assert (pixels[:, 1:-1] == (0, 0, 255)).all()  # smoothing reaches one pixel over the edge
    assert pixels[..., 0].max() < 32


def test_images_are_resized_when_asked(tree: Path) -> None:
    assert loaded(tree, image_size=12).train.images.shape[1:] == (12, 12, 3)


def test_large_images_are_decoded_by_all_cores(tmp_path: Path) -> None:
    for label, name in enumerate(["cat", "dog"]):
        (tmp_path / "large" / name).mkdir(parents=True)
        for index in range(3):
            Image.new("RGB", (640, 480), (100 * label, 10 * index, 0)).save(
                tmp_path / "large" / name / f"{index}.jpg"
            )
    splits = loaded(tmp_path / "large", image_size=32)
    for part in (splits.train, splits.validation, splits.open_test()):
        assert np.abs(part.images[:, 16, 16, 0].astype(int) - 100 * part.labels).max() <= 3


# unreadable files


def truncated(path: Path) -> None:
    noise(3, width=64, height=64).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def bomb(path: Path) -> None:
    path.write_bytes(png_header(8000, 8000))


def huge_bomb(path: Path) -> None:
    path.write_bytes(png_header(20000, 20000))


BAD_FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "zero bytes": ("x.png", lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)"),
    "truncated": ("x.png", truncated, "cannot be decoded: .*truncated"),
    "truncated JPEG": ("x.jpg", truncated, "cannot be decoded: .*truncated"),
    "text": ("x.jpg", lambda path: path.write_text("hello"), "is not a PNG, JPEG, .* image"),
    "camera's own": ("x.CR2", lambda path: path.write_bytes(b"II*"), "is a .cr2 file; convert it to PNG"),
    "floats": (
        "x.tif",
        lambda path: Image.new("F", (8, 8)).save(path),
        "has levels that are no whole numbers; convert it to 8 or 16 bits",
    ),
    "bomb": ("x.png", bomb, "is 8000x8000 pixels, which take 192 MB, more than 150 MB; save it smaller"),
    "huge bomb": ("x.png", huge_bomb, "has more than 100 megapixels"),
    "broken link": ("x.png", lambda path: path.symlink_to("nowhere.png"), "cannot be read: No such file"),
    "link to itself": ("x.png", lambda path: path.symlink_to(path.name), "cannot be read: Too many levels"),
    "pipe": ("x.png", os.mkfifo, "is not a regular file"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_an_unreadable_file_is_named_and_skipped(tree: Path, kind: str) -> None:
    name, spoil, reason = BAD_FILES[kind]
    spoil(tree / "cat" / name)
    splits = loaded(tree, max_bad_images=0.05)
    assert sum(sizes(splits)) == 20
    (bad,) = splits.skipped
    assert bad.path == f"cat/{name}"
    with pytest.raises(DataError, match=f"1 of 21 image files cannot be read.*0.04.*\n  cat/{name} {reason}"):
        loaded(tree, max_bad_images=0.04)


def test_a_skipped_file_shifts_no_label(cut_tree: Path) -> None:
    (cut_tree / "train" / "cat" / "000.png").write_bytes(b"")
    (cut_tree / "test" / "dog" / "003.png").write_bytes(b"")
    splits = loaded(cut_tree, max_bad_images=0.1)
    assert [bad.path for bad in splits.skipped] == ["train/cat/000.png", "test/dog/003.png"]
    seeds = {noise(1000 * seed + i).tobytes(): seed for seed in range(4) for i in range(10)}
    for part, first_seed in ((splits.train, 0), (splits.validation, 0), (splits.open_test(), 2)):
        found = [seeds[pixels.tobytes()] - first_seed for pixels in part.images]
        assert found == part.labels.tolist()


def test_only_the_first_bad_files_are_named(tree: Path) -> None:
    for index in range(8):
        (tree / "cat" / f"{index:03d}.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        loaded(tree)
    assert "8 of 20 image files cannot be read, more than the share of 0.01" in caught.value.message
    assert "raise --max-bad-images" in caught.value.message
    assert caught.value.message.endswith("cat/004.png is empty (0 bytes)\n  and 3 more")


# unusable trees


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="nowhere does not exist; give the directory that holds the class folders"
    ):
        loaded(tmp_path / "nowhere")


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(DataError, match="file is not a directory"):
        loaded(tmp_path / "file")


def test_a_directory_without_classes_is_explained(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    noise(0).save(tmp_path / "flat" / "0.png")
    with pytest.raises(
        DataError, match=r"has no class folders; each class needs a folder of its own, e\.g\."
    ):
        loaded(tmp_path / "flat")


def test_one_class_is_too_few(tmp_path: Path) -> None:
    write_class(tmp_path / "one" / "cat")
    with pytest.raises(DataError, match="needs at least two classes, but has 1: cat"):
        loaded(tmp_path / "one")


def test_an_empty_class_is_named(tree: Path) -> None:
    (tree / "eel").mkdir()
    with pytest.raises(
        DataError, match=r"class folder .*eel has no images \(.*\.png.*\); add some or remove"
    ):
        loaded(tree)


def test_a_class_too_small_to_split_is_named(tree: Path) -> None:
    write_class(tree / "eel", count=2, seed=6)
    with pytest.raises(DataError, match=r"each class needs at least 3 readable .* have fewer: eel \(2\)"):
        loaded(tree)


def test_train_without_test_is_explained(cut_tree: Path) -> None:
    (cut_tree / "test").rename(cut_tree / "val")
    with pytest.raises(DataError, match=r"has train/ but no test/; add .*/test/<class>/"):
        loaded(cut_tree)


def test_two_validation_folders_are_ambiguous(cut_tree: Path) -> None:
    for name in ("val", "valid"):
        write_class(cut_tree / name / "cat")
    with pytest.raises(DataError, match="has both val and valid; keep one"):
        loaded(cut_tree)


def test_classes_must_be_the_same_in_all_splits(cut_tree: Path) -> None:
    (cut_tree / "test" / "dog").rename(cut_tree / "test" / "eel")
    with pytest.raises(DataError, match=r"only in test/: eel; only in train/: dog"):
        loaded(cut_tree)


@pytest.mark.parametrize("target", [".", "..", "../dog"])
def test_a_link_back_does_not_loop(tree: Path, target: str) -> None:
    (tree / "cat" / "link").symlink_to(target)
    with pytest.raises(DataError, match=r"leads to .* again \(a symbolic link\?\).*remove the link"):
        loaded(tree)


def test_a_linked_class_is_followed(tree: Path) -> None:
    write_class(tree.parent / "elsewhere", seed=6)
    (tree / "eel").symlink_to(tree.parent / "elsewhere")
    assert loaded(tree).class_names == ("cat", "dog", "eel")


def test_a_class_name_must_be_printable(tree: Path) -> None:
    write_class(tree / "e\nel", seed=6)
    with pytest.raises(DataError, match=r"has a folder 'e\\nel'; the name of a class must be printable"):
        loaded(tree)


# symmetries


@pytest.mark.parametrize(
    ("names", "symmetries"),
    [
        (("cat", "dog"), ("horizontal_flip",)),
        (("b", "d"), ()),
        (("9", "10"), ()),
        (("left-turn", "stop"), ()),
        (("Right", "Wrong"), ()),
        (("bright", "leftover"), ("horizontal_flip",)),
    ],
)
def test_names_of_classes_may_speak_against_mirroring(
    tmp_path: Path, names: tuple[str, str], symmetries: tuple[str, ...]
) -> None:
    for seed, name in enumerate(names):
        write_class(tmp_path / "tree" / name, count=3, seed=seed)
    assert loaded(tmp_path / "tree").symmetries == symmetries


def test_a_declaration_overrules_the_names(tree: Path) -> None:
    (tree / "convscout.toml").write_text("symmetries = []")
    assert loaded(tree).symmetries == ()


@pytest.mark.parametrize(
    "text", ['symmetries = ["mirror"]', 'symmetry = ["horizontal_flip"]', "symmetries = 1", ""]
)
def test_a_wrong_declaration_is_explained(tree: Path, text: str) -> None:
    (tree / "convscout.toml").write_text(text)
    with pytest.raises(
        DataError, match=r"must say symmetries = \[...\], with none or some of horizontal_flip"
    ):
        loaded(tree)


def test_a_declaration_that_is_no_toml_is_explained(tree: Path) -> None:
    (tree / "convscout.toml").write_text("symmetries = [")
    with pytest.raises(DataError, match="cannot be read as TOML"):
        loaded(tree)


# real images


@pytest.mark.skipif(
    not ARCHIVE.exists(), reason="needs shared/data/cifar10-jpeg.tar.xz beside the repository"
)
def test_real_photographs_are_read(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        members = list(itertools.islice((member for member in archive if member.isfile()), 300))
        archive.extractall(tmp_path / "all", members=members, filter="data")
    (folder,) = {path.parent for path in (tmp_path / "all").rglob("*.jpg")}
    photographs = sorted(folder.iterdir())
    for index, path in enumerate(photographs):
        target = tmp_path / "cut" / ("even", "odd")[index % 2] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    splits = loaded(tmp_path / "cut")
    assert sizes(splits) == (216, 24, 60)
    assert splits.image.image_size == 32
    assert 0.2 < min(splits.normalization.mean) < max(splits.normalization.mean) < 0.8
