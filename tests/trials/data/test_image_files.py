"""Image files: what is read of each kind, what is named, and what is said where a network would see next to nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from convscout.search_space.errors import DataError
from convscout.trials.data import image_files
from convscout.trials.data.image_files import kind_of, problem_of, read_header, read_pixels
from convscout.trials.data.image_tree import scan
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.data.white import FULL
from tests.support.data_layouts import PICTURES, PictureExample
from tests.support.deep_images import deep_png, deep_tiff, png_chunk
from tests.support.image_trees import loaded, noise, sizes, write_animals


@pytest.mark.parametrize("example", PICTURES, ids=lambda example: example.what)
def test_a_picture_is_read_as_the_page_says(tmp_path: Path, example: PictureExample) -> None:
    path = example.write(tmp_path)
    assert kind_of(path) and not problem_of(kind_of(path))
    pixels = read_pixels(path, 4, 3)
    assert np.abs(pixels.astype(int) - example.pixels()).max() <= example.tolerance
    assert np.ptp(pixels) > 100


def test_a_file_without_a_suffix_goes_by_its_content(tmp_path: Path) -> None:
    for name, suffix in (("a.jfif", "jpg"), ("b.jpe", "jpg"), ("c", "png"), ("d.data", "webp"), ("e", "gif")):
        noise(1).save(tmp_path / f"x.{suffix}")
        (tmp_path / f"x.{suffix}").rename(write_animals(tmp_path / name) / "cat" / name)
        tree = scan(tmp_path / name)
        assert any(file.path == f"cat/{name}" and not file.problem for file in tree.files)
        assert tree.notes == ()


def test_a_photograph_of_an_iphone_is_named_with_the_extra_that_reads_it(tmp_path: Path) -> None:
    (tmp_path / "IMG_1").write_bytes(b"\0\0\0\x18ftypheic" + bytes(8))
    if image_files.HAS_HEIF:
        pytest.skip("the extra is installed")
    assert 'pip install "convscout[heic]"' in problem_of(kind_of(tmp_path / "IMG_1"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(99), r"is a \.heic file; convert it to PNG, or install the extra"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), r"is a \.jp2 file; convert it to PNG"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            r"pointer of Git LFS .*: git lfs pull",
        ),
        (b"<html>not found</html>", "is not a PNG, JPEG, "),
        (b"", r"is empty \(0 bytes\)"),
    ],
)
def test_a_file_that_is_something_else_than_its_name_says_is_told_for_what_it_is(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    if image_files.HAS_HEIF and b"heic" in content:
        pytest.skip("the extra is installed")
    (tmp_path / "IMG_1.jpg").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_header(tmp_path / "IMG_1.jpg")


@pytest.mark.parametrize("suffix", [".jxl", ".dcm", ".cr3", ".exr", ".j2k"])
def test_images_that_are_not_read_are_named_with_what_to_do(tmp_path: Path, suffix: str) -> None:
    root = write_animals(tmp_path)
    for index in range(3):
        (root / "cat" / f"x{index}{suffix}").write_bytes(bytes(20))
    with pytest.raises(DataError, match=rf"3 of 23 image files .*\n.*is a \{suffix} file; convert it to PNG"):
        loaded(root)


def test_a_large_photograph_is_decoded_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    write_animals(tmp_path)
    Image.new("L", (8200, 6100), 200).save(tmp_path / "cat" / "50-megapixels.jpg")
    splits = loaded(tmp_path)
    assert splits.skipped == () and sum(sizes(splits)) == 21


def test_a_progressive_jpeg_counts_with_all_its_pixels(tmp_path: Path) -> None:
    Image.new("L", (8200, 6400), 200).save(tmp_path / "x.jpg", progressive=True)
    with pytest.raises(DataError, match="is 8200x6400 pixels, which take 157 MB, more than 150 MB"):
        read_header(tmp_path / "x.jpg")


def write_pngs(root: Path, levels: npt.NDArray[np.uint16]) -> Path:
    """Two classes of four PNG files with the 16-bit ``levels`` (H, W) or (H, W, 3)."""
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for index in range(4):
            (root / name / f"{index}.png").write_bytes(deep_png(levels))
    return root


def ramp(top: int, channels: int = 1) -> npt.NDArray[np.uint16]:
    """Levels (8, 8) or (8, 8, C) from 0 to ``top``."""
    shape = (8, 8, channels) if channels > 1 else (8, 8)
    return np.linspace(0, top, int(np.prod(shape))).astype(np.uint16).reshape(shape)


@pytest.mark.parametrize("clear", [False, True], ids=["", "with opacity"])
@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
@pytest.mark.parametrize(("top", "white"), [(1, 1), (9, 9), (200, 255), (1000, 1023), (4095, 4095)])
def test_few_bits_of_sixteen_are_spread_and_it_is_said(
    tmp_path: Path, top: int, white: int, channels: int, clear: bool
) -> None:
    colours = ramp(top, channels)
    opaque = np.full((8, 8), 65535, np.uint16)  # opacity has all of its bits in any case
    splits = loaded(write_pngs(tmp_path / "dark", np.dstack([colours, opaque]) if clear else colours))
    expected = np.rint(colours.reshape(8, 8, channels) * (255 / white))
    np.testing.assert_array_equal(splits.train.images[0], expected)
    assert splits.white == white
    told = f"levels of 16 bits go up to {top}, so {white} is read as white"
    assert told in splits.notes


def test_levels_of_a_tiff_file_are_spread_too(tmp_path: Path) -> None:
    for order in "<>":
        levels = ramp(4000, 3)
        (tmp_path / "x.tif").write_bytes(deep_tiff(levels, order))
        found = read_pixels(tmp_path / "x.tif", 8, 3, white=4095)
        np.testing.assert_array_equal(found, np.rint(levels * (255 / 4095)))


def test_more_than_twelve_bits_keep_their_high_byte(tmp_path: Path) -> None:
    for channels in (1, 3):
        levels = ramp(5000, channels)
        splits = loaded(write_pngs(tmp_path / str(channels), levels))
        np.testing.assert_array_equal(splits.train.images[0], levels.reshape(8, 8, channels) >> 8)
        assert splits.white == FULL and not any("white" in note for note in splits.notes)


def test_another_white_is_other_data(tmp_path: Path) -> None:
    """Even where the pixels are the same, as what is asked about later is read in another way."""
    twice = [loaded(write_pngs(tmp_path / str(factor), ramp(1) * factor)) for factor in (1, 255)]
    np.testing.assert_array_equal(twice[0].train.images, twice[1].train.images)
    assert twice[0].fingerprint != twice[1].fingerprint


def test_decoded_images_are_kept_by_what_is_white(tmp_path: Path) -> None:
    root = write_pngs(tmp_path / "dark", ramp(4095))
    request = DataRequest(data=f"folder:{root}", seed=0, cache=tmp_path / "cache")
    for white, top, why in ((None, 255, "so"), (FULL, 15, "but, as the network learnt,"), (4095, 255, "so")):
        splits = load(replace(request, white=white))
        assert splits.train.images.max() == top
        assert splits.notes[0] == f"levels of 16 bits go up to 4095, {why} {white or 4095} is read as white"


@pytest.mark.parametrize(("low", "high"), [(-5, 100), (0, 70000)])
def test_levels_that_16_bits_do_not_hold_are_refused(tmp_path: Path, low: int, high: int) -> None:
    Image.fromarray(np.array([[low, high]] * 2, dtype=np.int32)).save(tmp_path / "x.tif")
    with pytest.raises(
        DataError, match=rf"has levels in \[{low}, {high}\], but they must lie in \[0, 65535\]; save"
    ):
        read_pixels(tmp_path / "x.tif", 8, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_levels_above_white_are_refused_with_what_to_do(tmp_path: Path, channels: int) -> None:
    (tmp_path / "x.png").write_bytes(deep_png(ramp(5000, channels)))
    with pytest.raises(
        DataError, match=r"has 16-bit levels up to 5000, but 4095 is white .* save it with 8 bits"
    ):
        read_pixels(tmp_path / "x.png", 8, channels, white=4095)


def test_a_picture_of_8_bits_has_255_for_white_unless_it_has_few_levels(tmp_path: Path) -> None:
    few, many = np.array([[0, 1], [1, 0]], np.uint8), np.array([[0, 255], [255, 0]], np.uint8)
    for levels, white, top in ((few, 1, 255), (many, 1, 255), (few, FULL, 1), (few, 4095, 1), (few, 2, 128)):
        Image.fromarray(levels).save(tmp_path / "x.png")
        assert read_pixels(tmp_path / "x.png", 2, 1, white=white).max() == top


def test_a_turned_picture_of_deep_colours_is_upright(tmp_path: Path) -> None:
    levels = ramp(4095, 3)[:, :4]
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    content = deep_png(levels)
    with_exif = content[:33] + png_chunk(b"eXIf", exif.tobytes()[6:]) + content[33:]
    (tmp_path / "x.png").write_bytes(with_exif)
    found = read_pixels(tmp_path / "x.png", 4, 3, white=4095)
    upright = np.rot90(np.rint(levels * (255 / 4095)), -1)
    np.testing.assert_array_equal(found, upright[:, 2:6])


def test_one_bright_picture_shows_that_dark_ones_are_meant(tmp_path: Path) -> None:
    dark = np.linspace(0, 4000, 64).astype(np.uint16).reshape(8, 8)
    root = write_pngs(tmp_path, dark)
    (root / "dog" / "bright.png").write_bytes(deep_png(dark * 16))
    splits = loaded(root)
    assert sum(sizes(splits)) == 9 and splits.white == FULL


def test_white_ink_on_nothing_is_laid_on_black_and_said(tmp_path: Path) -> None:
    ink = np.full((8, 8, 4), 255, dtype=np.uint8)
    ink[:, :4, 3] = 0
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(4):
            Image.fromarray(ink).save(tmp_path / name / f"{index}.png")
    splits = loaded(tmp_path)
    assert (splits.train.images[:, :, :4] == 0).all() and (splits.train.images[:, :, 4:] == 255).all()
    assert (
        "8 of 8 transparent files that were looked at would be blank on white, and are laid on black"
        in splits.notes
    )


def test_further_pictures_of_a_file_are_said_to_be_left_out(tmp_path: Path) -> None:
    write_animals(tmp_path)
    noise(1).save(tmp_path / "cat" / "x.tif", save_all=True, append_images=[noise(2)])
    assert (
        "1 of 21 files that were looked at hold several pictures, of which the first is read"
        in loaded(tmp_path).notes
    )


def test_images_of_one_colour_are_said_to_be(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(10):
            Image.new("L", (8, 8), 10 * index).save(tmp_path / name / f"{index}.png")
    assert (
        "14 of 14 training images that were looked at are nearly of one colour" in loaded(tmp_path).notes[0]
    )
    assert loaded(write_animals(tmp_path / "animals")).notes == ()


# sizes


def write_sizes(root: Path, shapes: list[tuple[int, int]]) -> Path:
    for index, (width, height) in enumerate(shapes):
        folder = root / ("cat", "dog")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (width, height), index).save(folder / f"{index:03d}.png")
    return root


def test_two_of_many_sizes_are_no_common_one(tmp_path: Path) -> None:
    shapes = [(140, 140), (140, 140)] + [(50 + index, 50 + index) for index in range(19)]
    splits = loaded(write_sizes(tmp_path, shapes))
    assert splits.image.image_size == 60
    assert (
        "shorter sides from 50 to 140 pixels; all are read at 60 x 60, their median, as no size is common "
        "(other sizes with --image-size)" in splits.notes
    )


def test_a_size_that_a_fifth_of_the_files_have_is_common(tmp_path: Path) -> None:
    shapes = [(20, 20)] * 5 + [(50 + index, 50 + index) for index in range(15)]
    splits = loaded(write_sizes(tmp_path, shapes))
    assert splits.image.image_size == 20
    assert any("read at 20 x 20, which 25% of the files have" in note for note in splits.notes)


def test_images_smaller_than_a_study_may_ask_for_are_said_to_be_read_larger(tmp_path: Path) -> None:
    notes = loaded(write_sizes(tmp_path, [(2, 2)] * 8)).notes
    assert any(
        "shorter sides of 2 pixels; all are read at 4 x 4, the fewest that are read" in note for note in notes
    )


@pytest.mark.parametrize(("wide", "said"), [(3, True), (1, False)])
def test_what_the_square_cuts_off_many_pictures_is_said_where_it_spares_the_typical_one(
    tmp_path: Path, wide: int, said: bool
) -> None:
    notes = loaded(write_sizes(tmp_path, [(20, 20)] * (8 - wide) + [(200, 20)] * wide)).notes
    assert any("without more than 20% of 38% of the pictures" in note for note in notes) is said


def test_no_images_are_read_larger_than_a_study_may_ask_for(tmp_path: Path) -> None:
    splits = loaded(write_sizes(tmp_path, [(1400, 1400)] * 6))
    assert splits.image.image_size == 1024
    assert any("read at 1024 x 1024, the most that are read" in note for note in splits.notes)


@pytest.mark.parametrize(("width", "said"), [(30, True), (24, False)])
def test_what_the_square_cuts_off_is_said_where_it_is_much(tmp_path: Path, width: int, said: bool) -> None:
    notes = loaded(write_sizes(tmp_path, [(width, 20)] * 8)).notes
    assert any("without 33% of the typical picture" in note for note in notes) is said
