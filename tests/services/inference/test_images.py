"""One door: a picture gets the same pixels in whatever form it comes; what could mean two things is refused."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convscout.search_space.errors import DataError
from convscout.services.inference.images import Pictures, files_of, pictures_of
from convscout.trials.data.image_files import read_pixels
from convscout.trials.data.splits import Pixels
from convscout.trials.data.white import FULL
from tests.support.deep_images import deep_png

SIZE = 16
GREY, RGB = 1, 3


def pixels_of(given: Pictures, channels: int = RGB, size: int = SIZE, white: int = FULL) -> list[Pixels]:
    return [picture.read(size, channels) for picture in pictures_of(given, white)]


@pytest.fixture
def wide() -> Pixels:
    """A picture (24, 40, 3) that no crop, turn or swap of channels leaves as it is."""
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([6 * x, 10 * y, 3 * (x + y)], axis=-1).astype(np.uint8)


@pytest.fixture
def file(wide: Pixels, tmp_path: Path) -> Path:
    Image.fromarray(wide).save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


def forms(wide: Pixels, file: Path) -> dict[str, Any]:
    floats = wide / 255
    return {
        "path": file,
        "text": str(file),
        "folder": file.parent,
        "glob": f"{file.parent}/*.png",
        "bytes of the file": file.read_bytes(),
        "Pillow": Image.fromarray(wide),
        "Pillow, unread": Image.open(file),
        "one of a list": [Image.fromarray(wide)],
        "HWC": wide,
        "batch": wide[np.newaxis],
        "int64": wide.astype(np.int64),
        "big-endian": wide.astype(">u2"),
        "float64": floats,
        "float32": floats.astype(np.float32),
        "tensor": torch.tensor(wide),
        "tensor of floats with a gradient": torch.tensor(floats, requires_grad=True),
        "not contiguous": np.asfortranarray(wide),
        "opaque RGBA": np.dstack([wide, np.full(wide.shape[:2], 255, np.uint8)]),
    }


def test_one_picture_has_the_same_pixels_in_every_form(wide: Pixels, file: Path) -> None:
    expected = read_pixels(file, SIZE, RGB)
    for name, given in forms(wide, file).items():
        [found] = pixels_of(given)
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_grey_becomes_rgb_and_rgb_grey_as_in_files(wide: Pixels, tmp_path: Path) -> None:
    grey = wide[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    expected = read_pixels(tmp_path / "grey.png", SIZE, RGB)
    for given in (grey, grey[..., None], grey[None], torch.tensor(grey), Image.fromarray(grey)):
        np.testing.assert_array_equal(pixels_of(given)[0], expected)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(pixels_of(wide, GREY)[0], read_pixels(tmp_path / "wide.png", SIZE, GREY))


def test_transparency_is_laid_on_white() -> None:
    clear = np.zeros((SIZE, SIZE, 4), np.uint8)
    assert (pixels_of(clear)[0] == 255).all() and (pixels_of(Image.fromarray(clear))[0] == 255).all()


def test_pillow_images_are_turned_upright_and_stay_as_they_are(wide: Pixels, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    Image.fromarray(wide).save(tmp_path / "turned.png", exif=exif)
    image = Image.open(tmp_path / "turned.png")
    expected = read_pixels(tmp_path / "turned.png", SIZE, RGB)
    for _ in range(2):
        np.testing.assert_array_equal(pixels_of(image)[0], expected)
    assert image.size == (40, 24) and image.getexif()[0x0112] == 6


def test_a_list_may_mix_forms_and_sizes_in_order(wide: Pixels, file: Path) -> None:
    given = [wide, wide[:9, :9], str(file), np.stack([wide, 255 - wide])]
    assert [picture.name for picture in pictures_of(given, FULL)] == [
        "images[0]", "images[1]", str(file), "images[3][0]", "images[3][1]",
    ]  # fmt: skip
    found = pixels_of(given)
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[4], pixels_of(255 - wide)[0])


def test_levels_survive_as_they_are() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(SIZE, SIZE)
    for given in (
        levels,
        levels / 255,
        (levels / np.float32(255)).astype(np.float32),
        levels.astype(np.int32),
        levels.astype(">u2"),
        levels[::-1, ::-1][::-1, ::-1],
        torch._neg_view(torch.tensor(-(levels / 255.0))),
        torch.tensor(levels / 255.0).requires_grad_(),
    ):
        np.testing.assert_array_equal(pixels_of(given, GREY)[0][..., 0], levels)
    found = pixels_of(Image.fromarray((levels / 255).astype(np.float32)), GREY)[0]
    np.testing.assert_array_equal(found[..., 0], levels)  # Pillow's images of floats are no exception


@pytest.mark.parametrize(
    "given", [[], (), np.empty((0, 9, 9, 3), np.uint8), torch.zeros(0, 9, 9), np.empty((0, 9, 9))]
)
def test_no_pictures_are_none(given: Any) -> None:
    assert pictures_of(given, FULL) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
def test_few_levels_are_spread_as_in_training_in_every_form(dtype: type[np.generic]) -> None:
    few = (np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 4).astype(dtype)
    expected = (few * 85).astype(np.uint8)[..., np.newaxis]
    for given in (few, few[None], torch.tensor(few), few[..., None]):
        np.testing.assert_array_equal(pixels_of(given, GREY, white=3)[0], expected)
    np.testing.assert_array_equal(pixels_of(expected.astype(dtype), GREY, white=3)[0], expected)  # of 8 bits


def test_levels_of_12_bits_are_read_as_in_training_in_every_form(tmp_path: Path) -> None:
    deep = np.linspace(0, 4095, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
    expected = np.rint(deep * (255 / 4095)).astype(np.uint8)[..., np.newaxis]
    image = Image.fromarray(deep)
    image.save(tmp_path / "deep.png")
    content = (tmp_path / "deep.png").read_bytes()
    for given in (deep, deep.astype(np.int32), torch.tensor(deep), image, tmp_path / "deep.png", content):
        np.testing.assert_array_equal(pixels_of(given, GREY, white=4095)[0], expected)
    for plain in (
        expected,
        expected / 255,
        Image.fromarray(expected[..., 0]),
    ):  # which have a white of their own
        np.testing.assert_array_equal(pixels_of(plain, GREY, white=4095)[0], expected)


@pytest.mark.parametrize(
    ("given", "white", "message"),
    [
        (
            np.full((4, 4), 5000, np.uint16),
            4095,
            r"in \[0, 4095\], but .* \[5000, 5000\]; bring them to that range",
        ),
        (
            np.full((4, 4), 200),
            4095,
            r"up to 200, .* 255 or, as in training, 4095 for white; .*numpy\.uint16",
        ),
        (np.full((4, 4), 300), 3, r"whole numbers must lie in \[0, 255\]"),
    ],
)
def test_levels_that_training_did_not_have_are_refused(given: Any, white: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pictures_of(given, white)


def test_an_image_of_pillow_that_holds_less_than_its_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.png").write_bytes(deep_png(np.full((4, 4, 3), 4000, np.uint16)))
    told = "has colours of 16 bits, of which Pillow keeps 8; give the path of its file"
    with Image.open(tmp_path / "deep.png") as image, pytest.raises(DataError, match=told):
        pixels_of(image, white=4095)


BATCH = np.zeros((2, 20, 24, 3))


def _endless() -> list[Any]:
    """A list that holds itself."""
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (BATCH.transpose(0, 3, 1, 2), r"shape \(2, 3, 20, 24\); move the channels last: x\.transpose\(0, 2, 3, 1\)"),
        (torch.zeros(2, 3, 20, 24), r"x\.permute\(0, 2, 3, 1\)"),
        (torch.zeros(3, 20, 24), r"channels first, or 3 grey ones; .*x\.permute\(1, 2, 0\).*x\[\.\.\., None\]"),
        (np.zeros(20), r"must be of shape \(H, W\).* but is of shape \(20,\)"),
        (np.zeros((1, 2, 20, 24, 3)), r"but is of shape \(1, 2, 20, 24, 3\)"),
        (np.zeros((2, 20, 24, 5)), r"but is of shape \(2, 20, 24, 5\)"),
        (np.zeros((2, 0, 24, 3)), r"has no pixels"),
        (BATCH.astype(int) + 256, r"whole numbers must lie in \[0, 255\].* x // 256"),
        (BATCH.astype(int) - 1, r"lie in \[-1, -1\]; give the pixels as they were before they were normalised"),
        (BATCH + 255, r"floats must lie in \[0, 1\], but these lie in \[255, 255\]; divide by 255"),
        (BATCH - 0.5, r"before they were normalised"),
        (BATCH * np.nan, r"replace what is not finite"),
        (BATCH + np.inf, r"replace what is not finite"),
        (BATCH > 0, r"of type bool; scale them"),
        (BATCH * 1j, r"of type complex128"),
        (torch.zeros(4, 4, dtype=torch.bool), r"of type bool; scale them"),
        (np.array([np.zeros((2, 2)), np.zeros((3, 3))], dtype=object), r"of type object; give a list of pictures"),
        (np.array(["a.png"]), r"give a list of paths: list\(x\)"),
        (None, r"must be a path, .* but is of type NoneType"),
        ([BATCH, {"a": 1}], r"images\[1\]: must be a path, .* but is of type dict"),
        ((number for number in range(3)), r"of type generator; make a list of it: list\(x\)"),
        (bytearray(b"x"), r"of type bytearray; make bytes of it: bytes\(x\)"),
        (io.BytesIO(b"x"), r"of type BytesIO; read it: x\.read\(\)"),
        (torch.empty(4, 4, 3, device="meta"), r"the tensor cannot be read as an array: .*meta"),
        (torch.zeros(4, 4, 3).to_sparse(), r"the tensor cannot be read as an array: .*to_dense"),
        (np.ma.masked_array(BATCH, BATCH == 0), r"some pixels are masked; say what they are: x\.filled\(255\)"),
        (Image.fromarray(np.full((9, 9), 200, np.int32)), r"mode I .* end at 200, .* numpy\.asarray\(x, numpy\.u"),
        (_endless(), r"lists lie too deep in each other"),
        ([[0.5, 0.5]], r"images\[0\]\[0\]: must be a path, .*type float; make an array of numbers"),
    ],
)  # fmt: skip
def test_what_could_mean_two_things_is_refused_with_a_remedy(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"^images.*: .*{message}|^{message}"):
        pictures_of(given, FULL)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for given, reason in (
        (tmp_path / "missing.png", "does not exist"),
        (tmp_path / "pipe.png", "is not a regular file"),
        (tmp_path / ("a" * 5000), "cannot be read: File name too long"),
        (b"", "is empty"),
        (b"text", "is not a PNG"),
        (Image.new("1", (12_000, 9_000)), "more than 100 megapixels"),
        (np.zeros((12_000, 9_000), np.uint8), "more than 100 megapixels"),
    ):
        [picture] = pictures_of(given, FULL)
        with pytest.raises(DataError, match=reason):
            picture.read(SIZE, RGB)


def test_a_directory_stands_for_its_pictures_and_not_for_what_lies_beside_them(tmp_path: Path) -> None:
    for name in (
        "cat.png",
        "more/dog.png",
        "@eaDir/cat.png",
        "__MACOSX/._cat.png",
        "Thumbnails/cat.png",
        ".hidden.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    assert files_of([str(tmp_path)]) == [tmp_path / "cat.png", tmp_path / "more" / "dog.png"]
