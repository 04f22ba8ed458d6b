"""Datasets of the service: good uploads can be trained on, hostile ones leave nothing, paths stay under roots."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from convscout.search_space.errors import (
    BusyError,
    ConfigError,
    DataError,
    DatasetConflictError,
    DatasetError,
    DatasetNotFoundError,
    NoRoomError,
    UploadTooLargeError,
)
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.control.datasets import archives
from convscout.services.control.datasets.archives import ArchiveLimits
from convscout.services.control.datasets.catalog import Datasets
from convscout.services.control.datasets.intake import receiving
from convscout.services.control.plane import ControlPlane
from convscout.services.control.settings import ServiceSettings
from convscout.services.ledger.ledger import Ledger
from convscout.services.schemas.datasets import DatasetView
from convscout.trials.checkpoints.kill_points import EXIT_CODE, VARIABLE
from convscout.trials.data.sources import DataRequest, Progress, Source, SourceImages, load, sources
from tests.support.image_trees import write_animals
from tests.support.packing import (
    PER_CLASS,
    digit_pngs,
    digits_npz,
    digits_zip,
    listing,
    lying,
    npz,
    overlapping,
    png_header,
    special,
    symlink,
    with_member,
    zipped,
)
from tests.support.small_disk import small_disk

BUILTIN = {"digits", "cifar10", "cifar100", "mnist", "fashion-mnist", "svhn"}
CLASSES = ("one", "two", "zero")
FIRST = next(iter(digit_pngs()))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def datasets(home: Home) -> Datasets:
    return Datasets(home, ServiceSettings())


def upload(datasets: Datasets, content: bytes, name: str = "mine") -> DatasetView:
    with datasets.incoming() as incoming:
        with receiving(incoming) as receiver:
            receiver.write(content)
        return datasets.add(incoming, name)


def refused(
    datasets: Datasets,
    content: bytes,
    home: Home,
    kind: type[DatasetError] = DatasetError,
    name: str = "mine",
) -> str:
    """The rule that the upload of ``content`` broke, which left nothing."""
    before = listing(home.root)
    with pytest.raises(DatasetError) as caught:
        upload(datasets, content, name)
    assert type(caught.value) is kind, caught.value.problems
    left = set(listing(home.root)) - set(before)
    assert left <= {"datasets", "datasets/.incoming"}
    [problem] = caught.value.problems
    assert str(home.root) not in problem.rule
    return problem.rule


def read(home: Home, data: str) -> tuple[int, tuple[str, ...]]:
    """How many images a study would have, and of which classes."""
    splits = load(DataRequest(data=data, seed=0, cache=home.cache))
    return len(splits.train) + len(splits.validation) + splits.num_test, splits.class_names


# what is accepted


def test_a_zip_of_folders_becomes_a_dataset_that_a_study_reads(datasets: Datasets, home: Home) -> None:
    view = upload(datasets, digits_zip())
    assert view.classes == CLASSES and view.num_images == 3 * PER_CLASS and view.image_size == 8
    assert view.kind == "uploaded" and view.created_at is not None and view.num_skipped == 0
    assert view.bytes == sum(map(len, digit_pngs().values()))
    assert read(home, view.data) == (3 * PER_CLASS, CLASSES)
    assert datasets.get("mine") == view and view in datasets.list()
    assert datasets.allowed("mine") == datasets.allowed("uploaded:mine") == view.data
    assert datasets.allowed(view.data) == view.data
    StudyConfig(name="s", data=datasets.allowed("mine"))
    assert {path.name for path in (home.root / "datasets" / "mine").iterdir()} == {*CLASSES, ".convscout"}


def test_an_npz_file_becomes_a_dataset_that_a_study_reads(datasets: Datasets, home: Home) -> None:
    content = digits_npz(class_names=np.array([f"digit {number}" for number in range(10)]))
    view = upload(datasets, content)
    assert view.data == f"npz:{home.root}/datasets/mine/data.npz" and view.bytes == len(content)
    assert (view.num_images, view.image_size) == (1797, 8)
    assert view.classes is not None and view.classes[3] == "digit 3"
    assert read(home, view.data)[0] == 1797
    assert datasets.check("mine").sizes["train"] > 1000


def test_what_a_name_promises_does_not_count(datasets: Datasets) -> None:
    assert upload(datasets, digits_npz(), "a-zip").data.startswith("npz:")
    assert upload(datasets, digits_zip(), "b-npz").data.startswith("folder:")


def test_a_folder_around_the_classes_and_splits_are_understood(datasets: Datasets, home: Home) -> None:
    around = {f"download/digits/{path}": content for path, content in digit_pngs().items()}
    inside = upload(datasets, zipped(around), "around")
    assert inside.classes == CLASSES
    assert inside.notes == ("the classes are taken from download/digits/, the only folder",)
    split = {
        f"d/{part}/{path}": content for part in ("train", "test") for path, content in digit_pngs().items()
    }
    view = upload(datasets, zipped(split), "split")
    assert view.classes == CLASSES and view.num_images == 6 * PER_CLASS
    assert len(load(DataRequest(data=view.data, seed=0, cache=home.cache)).open_test()) == 3 * PER_CLASS


def test_what_is_no_image_is_left_out_and_named(datasets: Datasets, home: Home) -> None:
    more = {
        "readme.txt": b"see https://example.org",
        "one/movie.gif": b"GIF89a",
        "one/inner.zip": digits_zip(),
        "__MACOSX/one/._1.png": b"junk",
        "one/@eaDir/1.png": digit_pngs()[FIRST],
        ".git/config": b"secret",
        "one/run.sh": b"#!/bin/sh",
        "convscout.toml": b'symmetries = ["horizontal_flip"]',
    }
    view = upload(datasets, digits_zip(**more))
    assert {skipped.path for skipped in view.skipped} == {
        "readme.txt",
        "one/movie.gif",
        "one/inner.zip",
        "one/run.sh",
        "one/@eaDir/1.png",
    }
    assert view.num_skipped == 5 and view.classes == CLASSES
    kept = {path.suffix for path in (home.root / "datasets/mine").rglob("*") if path.is_file()}
    assert kept == {".png", ".toml", ".json"}
    splits = load(DataRequest(data=view.data, seed=0, cache=home.cache))
    assert splits.symmetries == ("horizontal_flip",)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"d/images/{}.png": None, "d/labels.csv": b"1,cat"},
            "its labels seem to be in a table (labels.csv); put each",
        ),
        ({"images/{}.png": None, "labels/{}.txt": b"0 1 1 1 1"}, "it looks like data for detection (YOLO"),
        (
            {"one/{}.png": None, "two/{}.png": b"text"},
            "12 file(s) were left out, such as two/0.png, which is not",
        ),
    ],
)
def test_an_archive_without_class_folders_is_told_for_what_it_looks_like(
    datasets: Datasets, home: Home, files: dict[str, bytes | None], told: str
) -> None:
    pictures = list(digit_pngs().values())
    content = {
        name.format(index): pictures[index] if body is None else body
        for name, body in files.items()
        for index in range(PER_CLASS)
    }
    assert told in refused(datasets, zipped(content), home)


def test_a_single_broken_file_among_many_is_taken_out(datasets: Datasets, home: Home) -> None:
    pictures = list(digit_pngs().values())
    many = {f"{label}/{index}.png": pictures[index % 36] for label in "ab" for index in range(60)}
    view = upload(datasets, zipped(many | {"a/bomb.png": png_header(100_000, 100_000)}))
    assert view.num_images == 120
    assert [skipped.path for skipped in view.skipped] == ["a/bomb.png"]
    assert "megapixels" in view.skipped[0].reason
    assert not (home.root / "datasets/mine/a/bomb.png").exists()


# what is refused


def small_npz() -> bytes:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    return npz(images=images, labels=np.arange(40) % 2)


def encrypted() -> bytes:
    raw = bytearray(digits_zip())
    raw[raw.index(b"PK\1\2") + 8] |= 1
    return bytes(raw)


def second_file_of(content: bytes) -> Callable[[], bytes]:
    return lambda: digits_zip(**{"one/more.png": content})


def twice() -> bytes:
    name = next(iter(digit_pngs()))
    with pytest.warns(UserWarning, match="Duplicate name"):
        return with_member(zipfile.ZipInfo(name))


def nul_in_a_name() -> bytes:
    return digits_zip(**{"one/a.pngQevil": b"x"}).replace(b"one/a.pngQevil", b"one/a.png\0evil")


def second_file(name: str) -> Callable[[], bytes]:
    return lambda: digits_zip(**{name: next(iter(digit_pngs().values()))})


def classes_called(*names: str) -> Callable[[], bytes]:
    pictures = list(digit_pngs().values())
    return lambda: zipped({f"{name}/{index}.png": pictures[index] for name in names for index in range(5)})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "traversal": (second_file("../evil.png"), "leads out"),
    "traversal in the middle": (second_file("one/../../evil.png"), "leads out"),
    "absolute path": (second_file("/etc/evil.png"), "absolute path"),
    "drive letter": (second_file("C:/evil.png"), "absolute path"),
    "backslashes": (second_file("one\\..\\..\\evil.png"), "backslashes"),
    "symlink": (lambda: symlink("one/link.png"), "link or a device"),
    "symlink that would be skipped": (lambda: symlink("notes"), "link or a device"),
    "device": (lambda: special("one/dev.png", stat.S_IFCHR), "link or a device"),
    "pipe": (lambda: special("one/pipe.png", stat.S_IFIFO), "link or a device"),
    "encrypted": (encrypted, "encrypted"),
    "other method": (lambda: zipped(digit_pngs(), zipfile.ZIP_LZMA), "another method"),
    "bomb by ratio": (lambda: digits_zip(**{"one/bomb.bmp": bytes(20_000_000)}), "limit"),
    "overlapping members": (lambda: overlapping(40, 1_000_000), ""),
    "a size said too large": (lambda: lying(digits_zip(), FIRST, 2_000_000_000), "where the archive says"),
    "a size said too small": (lambda: lying(digits_zip(), FIRST, 20), "damaged"),
    "case collision": (second_file("ONE/new.png"), "same name"),
    "Unicode collision": (classes_called("caf\u00e9", "cafe\u0301"), "same name"),
    "Unicode collision of folders": (
        lambda: zipped({f"{name}/{name}.png": b"" for name in ("caf\u00e9", "cafe\u0301")}),
        "same name",
    ),
    "names in an encoding of Windows": (
        lambda: digits_zip().replace(b"one/", b"\xaa\xae\xe8/"),
        "pack it again",
    ),
    "a file that is a folder": (second_file("one/1.png/2.png"), "same name"),
    "duplicate names": (lambda: twice(), "same name"),
    "too deep": (second_file("/".join("abcdefghijklmnopqrst") + "/1.png"), "deep"),
    "long name": (second_file(f"one/{'x' * 300}.png"), "too long"),
    "truncated": (lambda: digits_zip()[:-3000], "damaged or incomplete"),
    "cut in half": (lambda: digits_zip()[:4000], "damaged or incomplete"),
    "not an archive": (lambda: b"hello" * 1000, "not a zip archive"),
    "a lone picture": (lambda: next(iter(digit_pngs().values())), "not a zip archive"),
    "nothing": (lambda: b"", "not a zip archive"),
    "an archive without files": (lambda: zipped({}), "not a zip archive"),
    "no images": (lambda: zipped({"a/readme.txt": b"hello", "b/readme.txt": b"hello"}), "holds no"),
    "images without classes": (lambda: zipped({"a.png": b"", "b.png": b""}), "class folders"),
    "one class": (classes_called("one"), "two class folders"),
    "too few of a class": (
        lambda: zipped({**digit_pngs(), "few/1.png": next(iter(digit_pngs().values()))}),
        "'few' needs at least 3",
    ),
    "image bomb": (second_file_of(png_header(100_000, 100_000)), "megapixels"),
    "damaged images": (
        lambda: zipped({path: png_header(8, 8) for path in digit_pngs()}),
        "cannot be decoded",
    ),
    "markup as a class": (classes_called("cat", "<img src=x onerror=alert(1)>"), "without < and >"),
    "newline in a class": (classes_called("cat", "do\ng"), "cannot be printed"),
    "NUL in a class": (lambda: nul_in_a_name(), "cannot be printed"),
    "direction override in a class": (classes_called("cat", "do\u202eg"), "cannot be printed"),
    "a class like an option": (classes_called("cat", "-rf"), "no dash"),
    "a foreign declaration": (lambda: digits_zip(**{"convscout.toml": b"import = 1"}), "symmetries"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(datasets: Datasets, home: Home, what: str) -> None:
    make, rule = HOSTILE[what]
    assert rule in refused(datasets, make(), home)
    assert datasets._uploads.names() == []


BAD_ARRAYS: dict[str, tuple[Callable[[], bytes], str]] = {
    "pickled objects": (lambda: digits_npz(class_names=np.array(["a", None], dtype=object)), "pickle"),
    "pickled labels": (lambda: digits_npz(labels=np.array([print] * 1797, dtype=object)), "pickle"),
    "a pickle for an array": (lambda: zipped({"images.npy": b"cos\nsystem\n(S'id'\ntR."}), "no header"),
    "structured": (lambda: digits_npz(labels=np.zeros(1797, dtype=[("a", "i4")])), "type"),
    "times": (lambda: digits_npz(labels=np.zeros(1797, dtype="M8[s]")), "type"),
    "another name": (lambda: npz(a=np.zeros(3), b=np.zeros(3)), "arrays must be"),
    "something beside": (lambda: with_beside(), "arrays only"),
    "labels out of range": (lambda: digits_npz(labels=np.full(1797, 10**9)), "classes"),
    "one class": (lambda: digits_npz(labels=np.zeros(1797, dtype=np.int64)), "two classes"),
    "too few labels": (lambda: digits_npz(labels=np.zeros(5, dtype=np.int64)), "labels"),
    "markup as a class": (lambda: digits_npz(class_names=np.array(["<b>", *"abcdefghi"])), "without < and >"),
    "a bomb": (lambda: npz(compressed=True, images=np.zeros((60_000, 28, 28), np.uint8)), "limit"),
    "no arrays": (lambda: zipped({"a.npy/": b"", "x": b""}), "holds no"),
    "a header of a larger array": (lambda: stretched(), "where its header says"),
    "a header of code": (lambda: zipped({"images.npy": header(b"__import__('os').getpid()")}), "no header"),
    "a negative shape": (lambda: zipped({"images.npy": shaped("(-4, 8)")}), "shape"),
    "a shape without end": (lambda: zipped({"images.npy": shaped("(" + "9" * 4000 + ", 8)")}), ""),
}


def with_beside() -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(digits_npz()), "a") as archive:
        archive.writestr("run.sh", b"#!/bin/sh")
    return buffer.getvalue()


def stretched() -> bytes:
    images = io.BytesIO()
    np.save(images, np.zeros((100, 8, 8), np.uint8))
    return zipped({"images.npy": images.getvalue().replace(b"(100, 8, 8)", b"(900, 8, 8)")})


def header(text: bytes) -> bytes:
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text


def shaped(shape: str) -> bytes:
    said = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n"
    return header(said.encode()) + bytes(64)


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_bad_arrays_are_refused_and_leave_nothing(datasets: Datasets, home: Home, what: str) -> None:
    make, rule = BAD_ARRAYS[what]
    assert rule in refused(datasets, make(), home)


def test_an_archive_of_too_many_members_is_refused_before_they_are_parsed(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(zipped({f"a/{index}.png": b"" for index in range(50)}))
    with (
        pytest.raises(DataError, match="more than 49 files"),
        archives.open_archive(path, limits(members=49)),
    ):
        pass
    with archives.open_archive(path, limits(members=50)) as archive:
        assert len(archives.members(archive, limits(members=50))) == 50


def test_an_archive_with_too_long_a_list_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.zip"
    path.write_bytes(digits_zip())
    with (
        pytest.raises(DataError, match="list of its files"),
        archives.open_archive(path, limits(directory_bytes=500)),
    ):
        pass


def test_one_large_member_is_refused_while_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    path.write_bytes(zipped({"a/1.png": bytes(100_000)}))
    with archives.open_archive(path, limits()) as archive:
        wanted, _ = archives.images(archive, archives.members(archive, limits()))
        budget = archives.UnpackingBudget(limits(member_bytes=99_999), path.stat().st_size)
        with pytest.raises(DataError, match="unpacks to more than"):
            archives.unpack(archive, wanted, tmp_path / "out", budget)


def limits(**changes: int) -> ArchiveLimits:
    return ArchiveLimits(**({"total_bytes": 2**30} | changes))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", ".hidden", "-rf", "a b", "a.b", "nul", "x" * 65, "a\0b", "a\n"]
)
def test_names_that_are_none_are_refused(datasets: Datasets, home: Home, name: str) -> None:
    assert "must be" in refused(datasets, digits_zip(), home, name=name)


def test_a_name_is_given_once(datasets: Datasets, home: Home) -> None:
    upload(datasets, digits_zip())
    assert "is taken" in refused(datasets, digits_npz(), home, DatasetConflictError)
    assert "is taken" in refused(datasets, digits_npz(), home, DatasetConflictError, "MINE")
    assert "built-in" in refused(datasets, digits_npz(), home, DatasetConflictError, "digits")


ARRAYS = (
    "images",
    "labels",
    "x_train",
    "y_train",
    "x_val",
    "y_val",
    "x_test",
    "y_test",
    "class_names",
    "symmetries",
)
TYPES = (
    "u1",
    "i1",
    "<i8",
    ">i4",
    "u8",
    "f2",
    "f4",
    "f8",
    "g",
    "?",
    "c8",
    "O",
    "U3",
    "S3",
    "M8[s]",
    "V4",
    "i4,f4",
)


@st.composite
def arrays(draw: st.DrawFn) -> dict[str, Any]:
    """What an npz file might hold; mostly the names that are wanted."""
    names = draw(st.one_of(st.just(("images", "labels")), st.sets(st.sampled_from(ARRAYS), min_size=1)))
    made = {}
    for name in names:
        shape = draw(st.lists(st.sampled_from((0, 1, 2, 3, 7, 24)), max_size=5))
        pictures = name[0] in "ix"
        if draw(st.booleans()):
            shape = [24, *shape[:2], 3] if pictures else [24]
        kind = draw(st.sampled_from(TYPES[:2] if draw(st.booleans()) else TYPES))
        values = np.arange(int(np.prod(shape))) % draw(st.sampled_from((2, 3, 100)))
        made[name] = values.astype("O" if kind == "V4" else kind).reshape(shape)
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays=arrays())
def test_whatever_arrays_come_are_taken_or_refused(datasets: Datasets, home: Home, arrays: Any) -> None:
    content = npz(**arrays)
    try:
        view = upload(datasets, content)
    except DatasetError as error:
        assert type(error) is DatasetError and error.problems[0].rule
    else:
        assert read(home, view.data)[0] == view.num_images
        datasets.check("mine")
        datasets.delete("mine")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), content=st.sampled_from((digits_zip(), small_npz())))
def test_whatever_is_damaged_is_taken_or_refused(
    datasets: Datasets, data: st.DataObject, content: bytes
) -> None:
    raw = bytearray(content)
    directory = raw.index(b"PK\1\2")
    for start in data.draw(st.lists(st.sampled_from((0, directory, len(raw) - 22)), min_size=1, max_size=4)):
        place = data.draw(st.integers(start, min(start + 200, len(raw)) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    try:
        upload(datasets, bytes(raw))
    except DatasetError as error:
        assert type(error) is DatasetError and error.problems[0].rule
    else:
        datasets.delete("mine")


# room


def test_uploads_keep_to_the_quota(home: Home) -> None:
    sent = len(digits_npz())
    datasets = Datasets(home, ServiceSettings(upload_bytes=sent, uploads_bytes=int(1.5 * sent)))
    refused(datasets, digits_npz(class_names=np.array(list("abcdefghij"))), home, UploadTooLargeError)
    upload(datasets, digits_npz())
    refused(datasets, digits_npz(), home, UploadTooLargeError, "other")
    datasets.delete("mine")
    full = Datasets(home, ServiceSettings(upload_bytes=sent, uploads_bytes=sent))
    upload(full, digits_npz())
    assert "delete a dataset" in refused(full, digits_npz(), home, NoRoomError, "other")


def test_what_an_archive_unpacks_to_counts(home: Home) -> None:
    flat = {f"{label}/{index}.bmp": flat_bmp(index) for label in "ab" for index in range(20)}
    content = zipped(flat)
    datasets = Datasets(home, ServiceSettings(upload_bytes=5 * len(content)))
    assert "unpacks to more than" in refused(datasets, content, home)


def flat_bmp(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (level, 0, 0)).save(buffer, format="BMP")
    return buffer.getvalue()


def test_no_more_than_two_uploads_at_a_time(datasets: Datasets, home: Home) -> None:
    with datasets.incoming(), datasets.incoming(), pytest.raises(BusyError), datasets.incoming():
        pass
    upload(datasets, digits_zip())


@pytest.mark.parametrize("megabytes", [1, 2, 3])
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path, megabytes: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 64, 64), dtype=np.uint8)
    with small_disk(tmp_path / "disk", megabytes) as disk:
        home = Home.at(disk.root / "home")
        datasets = Datasets(home, ServiceSettings())
        content = noisy_zip() if megabytes > 1 else npz(images=noise, labels=np.arange(300) % 3)
        assert "disk" in refused(datasets, content, home, NoRoomError)
        upload(datasets, digits_zip())


def noisy_zip() -> bytes:
    """1.5 MB as a zip and again unpacked."""
    rng = np.random.default_rng(0)
    files = {}
    for index in range(120):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, format="PNG")
        files[f"{'ab'[index % 2]}/{index}.png"] = buffer.getvalue()
    return zipped(files)


# dying


UPLOAD = """
import sys
from pathlib import Path
from convscout.services.control.datasets.catalog import Datasets
from convscout.services.control.plane import ControlPlane
from convscout.services.control.datasets.intake import receiving
from convscout.services.control.settings import ServiceSettings
from convscout.services.config.home import Home

datasets = Datasets(Home.at(sys.argv[1]), ServiceSettings())
with datasets.incoming() as incoming:
    with receiving(incoming) as receiver:
        receiver.write(Path(sys.argv[2]).read_bytes())
    print("received", flush=True)
    if sys.argv[3] == "wait":
        sys.stdin.read()
    datasets.add(incoming, "mine")
"""


def uploading(home: Home, archive: Path, how: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", UPLOAD, str(home.root), str(archive), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | environment,
        text=True,
    )


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "digits.zip"
    path.write_bytes(digits_zip())
    return path


@pytest.mark.slow
def test_what_a_killed_upload_left_is_swept_up(datasets: Datasets, home: Home, archive: Path) -> None:
    with uploading(home, archive, "wait") as process:
        assert process.stdout is not None and process.stdout.readline() == "received\n"
        datasets.sweep()  # another service of this home may not take it away while it comes
        assert len(list((home.root / "datasets/.incoming").iterdir())) == 1
        process.kill()
        process.wait()
    assert len(list((home.root / "datasets/.incoming").iterdir())) == 1
    datasets.sweep()
    assert listing(home.root) == ["datasets", "datasets/.incoming"]
    assert upload(datasets, digits_zip()).classes == CLASSES


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "there"), [("before", False), ("after", True)])
def test_a_dataset_is_there_whole_or_not_at_all(
    datasets: Datasets, home: Home, archive: Path, moment: str, there: bool
) -> None:
    with uploading(home, archive, "go", **{VARIABLE: f"{moment}-rename"}) as process:
        process.communicate()
        assert process.returncode == EXIT_CODE
    datasets.sweep()
    assert list((home.root / "datasets/.incoming").iterdir()) == []
    assert [view.name for view in datasets.list() if view.kind == "uploaded"] == ["mine"] * there
    if there:
        assert read(home, datasets.get("mine").data) == (3 * PER_CLASS, CLASSES)


# paths


@pytest.fixture
def rooted(home: Home, tmp_path: Path) -> Datasets:
    write_animals(tmp_path / "root" / "animals")
    write_animals(tmp_path / "elsewhere" / "animals")
    (tmp_path / "root" / "digits-too.npz").write_bytes(digits_npz())
    (tmp_path / "root" / "way-out").symlink_to(tmp_path / "elsewhere" / "animals")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root" / "loop")
    (tmp_path / "way-in").symlink_to(tmp_path / "root")
    return Datasets(home, ServiceSettings(data_roots=(tmp_path / "root",)))


def test_paths_under_a_root_are_allowed(rooted: Datasets, tmp_path: Path) -> None:
    animals = f"folder:{tmp_path}/root/animals"
    assert rooted.allowed(animals) == animals
    assert rooted.allowed("animals") == animals
    assert rooted.allowed("digits-too") == f"npz:{tmp_path}/root/digits-too.npz"
    assert rooted.allowed(f"folder:{tmp_path}/way-in/animals") == animals
    assert rooted.allowed(f"folder:{tmp_path}/root/../root/animals/") == animals
    assert rooted.allowed("digits") == "digits"
    rooted.check_data_dir(None)
    rooted.check_data_dir(str(tmp_path / "root" / "downloads"))


OUTSIDE = (
    "elsewhere/animals",
    "root/../elsewhere/animals",
    "root/way-out",
    "root/loop",
    "rooted",
    "nowhere",
    "home/datasets",
    "home/datasets/.incoming",
    "home/cache",
    "",
)


@pytest.mark.parametrize("path", OUTSIDE)
def test_paths_elsewhere_are_refused_alike(rooted: Datasets, tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rooted.allowed(f"folder:{tmp_path}/{path}")
    [problem] = caught.value.problems
    assert problem.field == "study.data"
    assert f"lie under {tmp_path}/root" in problem.rule and "--data-root DIR" in problem.rule
    with pytest.raises(ConfigError, match="lie under"):
        rooted.check_data_dir(f"{tmp_path}/{path}")


@pytest.mark.parametrize(
    "data",
    [
        "folder:/etc",
        "npz:/etc/passwd",
        "folder:~root",
        "folder:a\0b",
        "folder:../../..",
        "folder:" + "x/" * 9000,
    ],
)
def test_other_places_are_refused(rooted: Datasets, data: str) -> None:
    with pytest.raises(ConfigError, match="lie under"):
        rooted.allowed(data)


@pytest.mark.parametrize(
    "data", ["", "flowers", "folder", "folder:", "uploaded:digits", "uploaded:..", "uploaded:"]
)
def test_what_is_no_dataset_is_refused(rooted: Datasets, data: str) -> None:
    with pytest.raises(ConfigError, match="must be one of"):
        rooted.allowed(data)


def test_sources_that_read_from_elsewhere_are_refused(
    rooted: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Remote(Source):
        """Images from an address."""

        name, location = "remote", "URL"

        def read(self, request: DataRequest, progress: Progress) -> SourceImages:
            raise AssertionError

    monkeypatch.setitem(sources._entries, "remote", Remote)
    with pytest.raises(ConfigError, match="only files and directories"):
        rooted.allowed("remote:https://169.254.169.254/")
    with pytest.raises(ConfigError, match="unknown dataset"):
        rooted.allowed("http://169.254.169.254/")
    assert "remote" not in {view.name for view in rooted.list()}


def test_what_is_listed_under_a_root_is_what_would_be_read(home: Home, tmp_path: Path) -> None:
    write_animals(tmp_path / "root" / "download" / "animals")
    write_animals(tmp_path / "root" / "@eaDir")
    write_animals(tmp_path / "root" / "runs" / "studies" / "s")
    (tmp_path / "root" / "runs" / "cache").mkdir()
    datasets = Datasets(home, ServiceSettings(data_roots=(tmp_path / "root",)))
    assert [view.name for view in datasets.list() if view.kind == "local"] == ["download"]
    assert datasets.check("download").notes == ("the classes are taken from animals/, the only folder",)


def test_a_root_that_is_a_dataset_itself_is_listed(home: Home, tmp_path: Path) -> None:
    write_animals(tmp_path / "animals")
    datasets = Datasets(home, ServiceSettings(data_roots=(tmp_path / "animals", tmp_path / "missing")))
    view = datasets.get("animals")
    assert view.kind == "local" and view.data == f"folder:{tmp_path}/animals"
    assert datasets.check("animals").class_counts["train"] == {"cat": 7, "dog": 7}


def test_settings_of_a_study_are_settled_with_all_that_is_wrong(rooted: Datasets, tmp_path: Path) -> None:
    config = rooted.config_of({"name": "s", "study.data": "animals", "data-dir": f"{tmp_path}/root/d"})
    assert config.data == f"folder:{tmp_path}/root/animals"
    with pytest.raises(ConfigError) as caught:
        rooted.config_of({"name": "a/b", "data": "folder:/etc", "data_dir": "/etc", "trials": 0})
    fields = [problem.field for problem in caught.value.problems]
    assert sorted(fields) == ["budget.trials", "data.data_dir", "study.data", "study.name"]
    for wrong in (None, 3, ["digits"]):
        with pytest.raises(ConfigError, match=r"study\.data"):
            rooted.config_of({"name": "s", "data": wrong})
    with pytest.raises(ConfigError, match="data_dir"):
        rooted.resolve({"data.data_dir": "/etc", "trials": 5})


def test_the_plane_starts_studies_on_known_data_alone(rooted: Datasets, home: Home, tmp_path: Path) -> None:
    plane = ControlPlane(home, ServiceSettings(data_roots=(tmp_path / "root",)))
    upload(plane.datasets, digits_zip())
    with pytest.raises(ConfigError, match="lie under"):
        plane.create({"name": "s", "data": f"folder:{tmp_path}/elsewhere/animals"})
    plane.create({"name": "s", "data": "mine", "families": ["lenet"], "trials": 1})
    assert plane.study("s").data == f"folder:{home.root}/datasets/mine"
    with pytest.raises(DatasetConflictError):  # it waits, as no supervisor runs, and has no ledger
        plane.datasets.delete("mine")
    plane.stop("s")
    plane.datasets.delete("mine")


# looking and deleting


def test_everything_is_listed_once(rooted: Datasets) -> None:
    upload(rooted, digits_zip(), "animals")  # comes before the local one of that name
    views = rooted.list()
    assert {view.name for view in views if view.kind == "builtin"} == BUILTIN
    assert [view.kind for view in views if view.name == "animals"] == ["uploaded"]
    assert [view.name for view in views if view.kind == "local"] == ["digits-too"]
    with pytest.raises(DatasetNotFoundError):
        rooted.get("nothing")


def test_a_check_is_remembered_until_the_files_change(rooted: Datasets, tmp_path: Path) -> None:
    first = rooted.check("animals")
    assert first.sizes == {"train": 14, "validation": 2, "test": 4} and first.image_size == 8
    sheet = rooted.preview("animals")
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
    written = sheet.stat().st_mtime_ns
    assert rooted.check("animals") == first and rooted.preview("animals").stat().st_mtime_ns == written
    (tmp_path / "root/animals/cat/000.png").unlink()
    assert sum(rooted.check("animals").sizes.values()) == 19


def test_large_images_are_looked_at_small(datasets: Datasets) -> None:
    large = {}
    for index in range(10):
        buffer = io.BytesIO()
        Image.new("RGB", (300, 200), (25 * index, 0, 0)).save(buffer, format="JPEG")
        large[f"{'ab'[index % 2]}/{index}.jpg"] = buffer.getvalue()
    assert upload(datasets, zipped(large)).image_size == 200
    assert datasets.check("mine").image_size == 64


def test_data_that_cannot_be_read_any_more_is_said(rooted: Datasets, tmp_path: Path) -> None:
    for file in (tmp_path / "root/animals/cat").iterdir():
        file.unlink()
    with pytest.raises(DatasetError) as caught:
        rooted.check("animals")
    assert type(caught.value) is DatasetError and "no images" in caught.value.problems[0].rule


def test_deleting_leaves_nothing(datasets: Datasets, home: Home) -> None:
    view = upload(datasets, digits_zip())
    datasets.check("mine")
    read(home, view.data)
    assert list((home.cache / "images").iterdir()) and list((home.cache / "datasets").iterdir())
    datasets.delete("mine")
    assert not (home.root / "datasets" / "mine").exists()
    deadline = time.monotonic() + 30
    while any(names for _, _, names in os.walk(home.root)):  # rglob would fail where a folder goes meanwhile
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(DatasetNotFoundError):
        datasets.delete("mine")


def test_what_a_study_was_started_on_is_kept(rooted: Datasets, home: Home) -> None:
    upload(rooted, digits_zip())
    upload(rooted, digits_npz(), "other")
    for name, data in (("first", rooted.allowed("mine")), ("second", "digits")):
        Ledger.create(home, StudyConfig(name=name, data=data, families=("lenet",), trials=1), fingerprint="f")
    with pytest.raises(DatasetConflictError) as caught:
        rooted.delete("mine")
    assert "'first'" in caught.value.problems[0].rule
    rooted.delete("other")
    for name in ("digits", "animals"):
        with pytest.raises(DatasetConflictError):
            rooted.delete(name)
    assert read(home, rooted.get("mine").data)[0] == 36
