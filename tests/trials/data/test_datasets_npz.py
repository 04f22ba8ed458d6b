"""npz: archives as people write them, good and bad."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import torch

from convscout.search_space.errors import DataError
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.data.splits import DataSplits
from convscout.trials.data.white import FULL

Array = npt.NDArray[Any]


def pictures(count: int = 30, shape: tuple[int, ...] = (8, 8, 3), seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count: int = 30) -> Array:
    return np.arange(count) % 3


def loaded(folder: Path, **arrays: Array) -> DataSplits:
    np.savez(folder / "data.npz", **arrays)
    return load(DataRequest(data=f"npz:{folder / 'data.npz'}", seed=0, cache=folder / "cache"))


def test_keras_arrays_keep_their_splits(tmp_path: Path) -> None:
    x, y = pictures(), labels()[:, np.newaxis]  # Keras gives the labels of CIFAR-10 as a column
    splits = loaded(tmp_path, x_train=x, y_train=y, x_val=x[:6], y_val=y[:6], x_test=x[6:12], y_test=y[6:12])
    assert np.array_equal(splits.train.images, x)
    assert np.array_equal(splits.validation.images, x[:6])
    assert np.array_equal(splits.open_test().images, x[6:12])
    assert np.array_equal(splits.train.labels, labels())
    assert splits.class_names == ("0", "1", "2")
    assert splits.symmetries == ()


def test_images_and_labels_are_split(tmp_path: Path) -> None:
    splits = loaded(
        tmp_path,
        images=pictures(60),
        labels=labels(60),
        class_names=np.array(["cat", "dog", "eel"]),
        symmetries=np.array(["horizontal_flip"]),
    )
    assert [len(part) for part in (splits.train, splits.validation, splits.open_test())] == [42, 6, 12]
    assert splits.class_names == ("cat", "dog", "eel")
    assert splits.symmetries == ("horizontal_flip",)


def test_medmnist_is_read_as_it_comes(tmp_path: Path) -> None:
    x, y = pictures(shape=(8, 8)), labels()[:, np.newaxis].astype(np.uint8)
    arrays = {"train_images": x, "val_images": x[:6], "test_images": x[6:12]}
    arrays |= {"train_labels": y, "val_labels": y[:6], "test_labels": y[6:12]}
    splits = loaded(tmp_path, **arrays)
    assert np.array_equal(splits.train.images[..., 0], x) and np.array_equal(splits.train.labels, labels())
    assert (len(splits.validation), len(splits.open_test())) == (6, 6)


def test_grey_images_need_no_channel_axis(tmp_path: Path) -> None:
    grey = pictures(shape=(8, 8))
    splits = loaded(
        tmp_path, x_train=grey, y_train=labels(), x_val=grey, y_val=labels(), x_test=grey, y_test=labels()
    )
    assert np.array_equal(splits.train.images[..., 0], grey)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16])
def test_whole_numbers_are_bytes(dtype: type[np.generic], tmp_path: Path) -> None:
    x = pictures()
    whole = x.astype(dtype)
    splits = loaded(
        tmp_path, x_train=whole, y_train=labels(), x_val=x, y_val=labels(), x_test=x, y_test=labels()
    )
    assert splits.train.images.dtype == np.uint8
    assert np.array_equal(splits.train.images, x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_in_the_unit_interval_are_scaled(dtype: type[np.generic], tmp_path: Path) -> None:
    x = pictures()
    floats = (x / 255).astype(dtype)
    splits = loaded(
        tmp_path, x_train=floats, y_train=labels(), x_val=x, y_val=labels(), x_test=x, y_test=labels()
    )
    assert np.array_equal(splits.train.images, x)


@pytest.mark.parametrize(
    ("images", "white"),
    [
        (pictures() % 2, 1),
        ((pictures() % 2).astype(np.int64), 1),
        (pictures() % 16, 15),
        (pictures() % 17, 16),  # scikit-learn's digits
        (pictures().astype(np.uint16) * 4, 1023),
        (pictures().astype(np.int32) * 16, 4095),
    ],
    ids=["bits", "bits as int64", "4 bits", "0 to 16", "10 bits", "12 bits"],
)
def test_few_levels_are_spread_for_all_splits_together_and_it_is_said(
    tmp_path: Path, images: Array, white: int
) -> None:
    dark = images // 2 if white > 16 else images
    splits = loaded(
        tmp_path, x_train=images, y_train=labels(), x_val=dark, y_val=labels(), x_test=dark, y_test=labels()
    )
    np.testing.assert_array_equal(splits.train.images, np.rint(images * (255 / white)))
    np.testing.assert_array_equal(splits.open_test().images, np.rint(dark * (255 / white)))
    assert splits.white == white
    assert splits.notes[0] == (f"whole numbers go up to {images.max()}, so {white} is read as white")


def test_sixteen_bits_keep_their_high_byte_and_it_is_said(tmp_path: Path) -> None:
    deep = pictures().astype(np.uint16) * 257
    splits = loaded(tmp_path, images=deep, labels=labels())
    every = {image.tobytes() for image in pictures()}
    assert all(image.tobytes() in every for image in splits.train.images)
    assert "go up to 65535, so 65535 is read as white" in splits.notes[0]


@pytest.mark.parametrize(
    ("top", "dtype", "asked", "white"),
    [
        (1, np.uint8, 1, 1),
        (1, np.uint8, 16, 16),
        (1000, np.uint16, 4095, 4095),
        (1, np.uint8, 4095, 1),  # bytes are no part of 12 bits
        (4000, np.uint16, 1023, 4095),
        (200, np.uint8, 1, FULL),
        (1000, np.uint16, FULL, 1023),
    ],
)
def test_a_network_may_say_what_is_white_unless_the_levels_speak_against_it(
    tmp_path: Path, top: int, dtype: type[np.generic], asked: int, white: int
) -> None:
    images = (pictures() % 2).astype(dtype) * dtype(top)
    np.savez(tmp_path / "data.npz", images=images, labels=labels())
    request = DataRequest(data=f"npz:{tmp_path / 'data.npz'}", seed=0, cache=tmp_path, white=asked)
    assert load(request).white == white


NAN = np.full((30, 8, 8), np.nan)
FAULTS: dict[str, tuple[dict[str, Array], str]] = {
    "pickle": (
        {"images": np.array([{"not": "numbers"}] * 30), "labels": labels()},
        r"images has Python objects \(a pickle\), but a pickle can run code and is never read; .*numpy\.stack",
    ),
    "pickled labels": (
        {"images": pictures(), "labels": np.array(["cat", None] * 15)},
        r"labels has Python objects .* class_names, y = numpy\.unique\(y\.astype\(str\), return_inverse=True\)",
    ),
    "text": (
        {"images": np.array(["a"] * 30), "labels": labels()},
        "images has type <U1, but it must hold whole numbers or floats",
    ),
    "text labels": (
        {"images": pictures(), "labels": np.array(["cat"] * 30)},
        r"labels has type <U3, but labels must be whole numbers: class_names, y = numpy\.unique\(y, return_inv",
    ),
    "shape": (
        {"images": pictures(shape=(64,)), "labels": labels()},
        r"images has shape \(30, 64\), but images must be \(N, H, W\), \(N, H, W, 1\) or \(N, H, W, 3\)",
    ),
    "channels first": (
        {"images": pictures(shape=(3, 8, 8)), "labels": labels()},
        r"shape \(30, 3, 8, 8\).*move the channels last: x.transpose\(0, 2, 3, 1\)",
    ),
    "bright floats": (
        {"images": pictures().astype(np.float32), "labels": labels()},
        r"images has values in \[0, 255\], but images of type float32 must be floats in \[0, 1\]: \(x / 255\)",
    ),
    "NaN": ({"images": NAN, "labels": labels()}, r"images has values in \[nan, nan\]"),
    "wide integers": (
        {"images": pictures().astype(np.int32) * 400, "labels": labels()},
        r"images of type int32 must be whole numbers in \[0, 65535\]",
    ),
    "negative integers": (
        {"images": pictures().astype(np.int32) - 1, "labels": labels()},
        r"images has values in \[-1, 254\], but images of type int32 must be whole numbers in \[0, 65535\]",
    ),
    "splits of two ranges": (
        {"x_train": pictures(), "y_train": labels(), "x_test": pictures() % 2, "y_test": labels()},
        "x_test has levels up to 1 of type uint8, and other images have levels up to 255, so no level is white in all",
    ),
    "bytes beside 12 bits": (
        {
            "x_train": pictures(),
            "y_train": labels(),
            "x_test": pictures().astype(np.uint16) * 16,
            "y_test": labels(),
        },
        "x_train has levels up to 255 of type uint8, and other images have levels up to 4080, so no level is white",
    ),
    "negative label": (
        {"images": pictures(), "labels": labels() - 1},
        "labels has label -1, but labels must be 0, 1",
    ),
    "float labels": ({"images": pictures(), "labels": labels() / 1}, "labels has type float64, .*astype"),
    "one-hot labels": (
        {"images": pictures(), "labels": np.eye(3)[labels()]},
        r"shape \(30, 3\).*y.argmax\(1\)",
    ),
    "several labels an image": (
        {"images": pictures(), "labels": np.tile([1, 1, 0], (30, 1))},
        r"shape \(30, 3\).*several labels an image cannot be learnt, so keep one column: y\[:, 0\]",
    ),
    "labels from 1": (
        {"images": pictures(), "labels": labels() + 1},
        "labels must be 0, 1, 2, … up to 3, each at least once, but none is 0; number the classes anew: y - 1",
    ),
    "labels from 1, with names": (
        {"images": pictures(), "labels": labels() + 1, "class_names": np.array(["cat", "dog", "eel"])},
        "labels begin at 1, but must be 0, 1, 2, …: y - 1",
    ),
    "truth values": (
        {"images": pictures() > 127, "labels": labels()},
        r"images has type bool, but it must hold whole numbers or floats: x\.astype\(numpy\.uint8\)",
    ),
    "opacity": (
        {"images": pictures(shape=(8, 8, 4)), "labels": labels()},
        r"leave out the opacity: x\[\.\.\., :3\]",
    ),
    "rows of pixels": (
        {"images": pictures(shape=(784,)), "labels": labels()},
        r"give rows of pixels their shape: x\.reshape\(-1, 28, 28\)",
    ),
    "bytes for class names": (
        {"images": pictures(), "labels": labels(), "class_names": np.array([b"cat", b"dog", b"eel"])},
        r"type \|S3, but it must be a list of texts: class_names\.ravel\(\)\.astype\(str\)",
    ),
    "pickled class names": (
        {"images": pictures(), "labels": labels(), "class_names": np.array(["cat", "dog", "eel"], object)},
        r"save an array without objects: class_names\.astype\(str\)",
    ),
    "a blank class name": (
        {"images": pictures(), "labels": labels(), "class_names": np.array(["cat", " ", "eel"])},
        "class_names has the text ' ', but each must be printable, and not blank",
    ),
    "a class name of two lines": (
        {"images": pictures(), "labels": labels(), "class_names": np.array(["cat", "d\nog", "eel"])},
        r"class_names has the text 'd\\nog', but each must be printable",
    ),
    "no images": ({"images": pictures(0), "labels": labels(0)}, "needs at least two classes, but has 0$"),
    "no arrays": ({}, "has no arrays, but needs"),
    "many names": (
        {"images": pictures(), "labels": labels(), "class_names": np.array([str(n // 2) for n in range(60)])},
        "class_names must differ from each other, but these do not: 0, 1, .* and 22 more",
    ),
    "label over class names": (
        {"images": pictures(), "labels": labels(), "class_names": np.array(["cat", "dog"])},
        r"labels must lie in \[0, 1\], as there are 2 classes, but the train split has label 2",
    ),
    "label over the images": (
        {"images": pictures(), "labels": labels() + 10**9},
        "label 1000000002 makes 1000000003 classes of 30 images; there must not be fewer images than classes",
    ),
    "lengths": (
        {"images": pictures(), "labels": labels(29)},
        "images has 30 images but labels has 29 labels",
    ),
    "half a pair": ({"images": pictures()}, "has images but no labels; the arrays must be"),
    "unknown array": (
        {"images": pictures(), "labels": labels(), "x_valid": pictures()},
        "has an array 'x_valid', but the arrays must be x_train, y_train",
    ),
    "no train": ({"x_test": pictures(), "y_test": labels()}, "has x_test, y_test, but needs x_train"),
    "both layouts": (
        {"x_train": pictures(), "y_train": labels(), "images": pictures(), "labels": labels()},
        "but needs x_train, y_train .* or images, labels",
    ),
    "sizes differ": (
        {"x_train": pictures(), "y_train": labels(), "x_test": pictures(shape=(9, 9, 3)), "y_test": labels()},
        "the images of all splits must have one shape, but have",
    ),
    "same names": (
        {"images": pictures(), "labels": labels(), "class_names": np.array(["cat", "dog", "cat"])},
        "class_names must differ from each other",
    ),
    "unknown symmetry": (
        {"images": pictures(), "labels": labels(), "symmetries": np.array(["mirror"])},
        r"symmetries must be some of horizontal_flip, but got \['mirror'\]",
    ),
    "one class": ({"images": pictures(), "labels": labels() * 0}, "needs at least two classes, but has 1: 0"),
    "empty class": (
        {"images": pictures(), "labels": labels() // 2 * 2},
        "but none is 1; number .*return_inverse",
    ),
    "half of MedMNIST": ({"train_images": pictures()}, "has train_images but no train_labels"),
    "two names for a split": (
        {"x_train": pictures(), "y_train": labels(), "test_images": pictures(), "test_labels": labels()},
        "has test_images, test_labels, x_train, y_train, but needs",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_archive_is_explained(fault: str, tmp_path: Path) -> None:
    arrays, message = FAULTS[fault]
    with pytest.raises(DataError, match=message):
        loaded(tmp_path, **arrays)


def test_a_zip_of_pictures_is_told_for_what_it_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("cat/1.png", b"")
    with pytest.raises(
        DataError, match=r"is a zip of pictures; unpack it and give the directory: folder:PATH"
    ):
        load(DataRequest(data=f"npz:{tmp_path / 'data.zip'}", seed=0, cache=tmp_path))


@pytest.mark.parametrize(("width", "said"), [(12, True), (10, False)])
def test_what_the_square_cuts_off_is_said_where_it_is_much(tmp_path: Path, width: int, said: bool) -> None:
    notes = loaded(tmp_path, images=pictures(shape=(8, width, 3)), labels=labels()).notes
    assert any("without 33% of each picture" in note for note in notes) is said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npz does not exist; give an npz file"):
        load(DataRequest(data=f"npz:{tmp_path / 'none.npz'}", seed=0, cache=tmp_path))


@pytest.mark.parametrize("content", [b"", b"no archive at all"])
def test_a_foreign_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match="is not an npz file"):
        load(DataRequest(data=f"npz:{tmp_path / 'data.npz'}", seed=0, cache=tmp_path))


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", pictures())
    with pytest.raises(DataError, match=r"is not an npz file .* write one with numpy.savez"):
        load(DataRequest(data=f"npz:{tmp_path / 'data.npy'}", seed=0, cache=tmp_path))


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, images=pictures(), labels=labels())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images is damaged \(Bad CRC-32"):
        load(DataRequest(data=f"npz:{path}", seed=0, cache=tmp_path))


def test_an_archive_too_large_for_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scarce:
        available = 10_000

    monkeypatch.setattr(psutil, "virtual_memory", Scarce)
    with pytest.raises(
        DataError, match=r"its arrays need 0\.0 GB of memory, but 0\.0 GB is free; use fewer or smaller"
    ):
        loaded(tmp_path, images=pictures(), labels=labels())


def test_what_torch_saved_is_named(tmp_path: Path) -> None:
    torch.save({"images": torch.zeros(3, 8, 8)}, tmp_path / "data.pt")
    with pytest.raises(
        DataError, match=r"torch\.save wrote it, which is never read .* numpy\.savez\(file, images="
    ):
        load(DataRequest(data=f"npz:{tmp_path / 'data.pt'}", seed=0, cache=tmp_path))


@pytest.mark.parametrize("shape", ["(10000000000, 8, 8)", "(29, 8, 8)", "(31, 8, 8)", "(-1, 8, 8)", "(2, 8"])
def test_a_header_that_lies_is_found_out_before_anything_is_allocated(shape: str, tmp_path: Path) -> None:
    path, held = tmp_path / "data.npz", io.BytesIO()
    np.save(held, pictures(shape=(8, 8)))
    lie = held.getvalue().replace(b"(30, 8, 8)", shape.encode())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", _with_length(lie))
        archive.writestr("labels.npy", b"no array")
    with pytest.raises(DataError, match=r"images is damaged \("):
        load(DataRequest(data=f"npz:{path}", seed=0, cache=tmp_path))


def _with_length(array: bytes) -> bytes:
    """The bytes of ``array`` whose header says its own length again, after it was changed."""
    end = array.index(b"\n")
    return array[:8] + (end + 1 - 10).to_bytes(2, "little") + array[10:]


def test_a_member_that_is_no_array_is_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("images.npy", b"no array")
        archive.writestr("labels", b"neither")
    with pytest.raises(DataError, match="images is damaged"):
        load(DataRequest(data=f"npz:{tmp_path / 'data.npz'}", seed=0, cache=tmp_path))
