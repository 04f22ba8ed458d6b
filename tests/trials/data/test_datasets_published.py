"""mnist, fashion-mnist, cifar10, cifar100, svhn: small files in the real formats, read by the real code.

The tests tell torchvision the MD5 sums of those files, and send its downloads to a closed port.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import socket
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.io import savemat
from torchvision import datasets

from convscout.search_space.errors import DataError
from convscout.trials.data.datasets.fashion_mnist import FashionMnist
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.data.splits import DataSplits

Bytes = npt.NDArray[np.uint8]
SYSTEM_FASHION = FashionMnist.installed[0]
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
SPLITS = {"train": 60, "test": 20}


def loaded(data: str, folder: Path, *, data_dir: Path | None = None) -> DataSplits:
    return load(DataRequest(data=data, data_dir=data_dir, seed=0, cache=folder / "cache"))


def pixels(*shape: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels(count: int) -> Bytes:
    return (np.arange(count) % 10).astype(np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def closed_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where every download of these tests goes: a port of this machine that refuses connections."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, so that nobody else listens there, but not listening
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        for mnist in (datasets.MNIST, datasets.FashionMNIST):
            monkeypatch.setattr(mnist, "mirrors", [url])
        for cifar in (datasets.CIFAR10, datasets.CIFAR100):
            monkeypatch.setattr(cifar, "url", url + cifar.filename)
        parts = {name: [url + part[1], *part[1:]] for name, part in datasets.SVHN.split_list.items()}
        monkeypatch.setattr(datasets.SVHN, "split_list", parts)
        monkeypatch.setattr(FashionMnist, "installed", ())
        yield url


# idx files


def idx(array: Bytes) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, *, packed: bool) -> list[Bytes]:
    arrays = [
        array
        for seed, count in enumerate(SPLITS.values())
        for array in (pixels(count, 28, 28, seed=seed), labels(count))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return arrays


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", [".", "{dataset}/raw"])
@pytest.mark.parametrize(("data", "dataset"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_idx_files_are_found_and_read(
    data: str, dataset: str, place: str, packed: bool, tmp_path: Path
) -> None:
    arrays = write_idx(tmp_path / place.format(dataset=dataset), packed=packed)
    splits = loaded(data, tmp_path, data_dir=tmp_path)
    assert [len(part) for part in (splits.train, splits.validation)] == [50, 10]
    assert np.array_equal(splits.open_test().images[..., 0], arrays[2])
    assert np.array_equal(splits.open_test().labels, arrays[3])
    assert set(map(bytes, splits.train.images)) < set(map(bytes, arrays[0]))


def test_a_system_package_is_found_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FashionMnist, "installed", (tmp_path / "system",))
    write_idx(tmp_path / "system", packed=True)
    splits = loaded("fashion-mnist", tmp_path)
    assert splits.class_names[0] == "T-shirt/top"
    assert splits.symmetries == ("horizontal_flip",)


def test_digits_are_not_mirrored(tmp_path: Path) -> None:
    write_idx(tmp_path, packed=True)
    assert loaded("mnist", tmp_path, data_dir=tmp_path).symmetries == ()


IDX_DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut archive": (lambda content: content[:-50], r"cannot be read \(.*\); fetch the file again"),
    "no archive": (lambda content: b"<html>not found</html>", "cannot be read"),
    "no idx": (lambda content: gzip.compress(b"hello"), "is not an idx file of unsigned bytes"),
    "empty": (lambda content: gzip.compress(b""), "is not an idx file of unsigned bytes"),
    "cut content": (
        lambda content: gzip.compress(gzip.decompress(content)[:-5]),
        "holds 47035 bytes where its header says 47040",
    ),
    "other axes": (lambda content: gzip.compress(idx(pixels(60, 784))), r"has shape \(60, 784\)"),
    "other number": (
        lambda content: gzip.compress(idx(pixels(59, 28, 28))),
        r"has shape \(59, 28, 28\) and .*\(60,\)",
    ),
}


@pytest.mark.parametrize("damage", IDX_DAMAGE)
def test_a_damaged_idx_file_is_named(damage: str, tmp_path: Path) -> None:
    write_idx(tmp_path, packed=True)
    spoil, message = IDX_DAMAGE[damage]
    path = tmp_path / f"{IDX_NAMES[0]}.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=f"{IDX_NAMES[0]}.gz:? {message}"):
        loaded("mnist", tmp_path, data_dir=tmp_path)


@pytest.mark.skipif(not SYSTEM_FASHION.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_real_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FashionMnist, "installed", (SYSTEM_FASHION,))
    splits = loaded("fashion-mnist", tmp_path)
    assert [len(part) for part in (splits.train, splits.validation, splits.open_test())] == [
        54000,
        6000,
        10000,
    ]
    assert np.bincount(splits.validation.labels).tolist() == [600] * 10
    # the mean and deviation that are published for this training split
    assert splits.normalization.mean == pytest.approx((0.2860,), abs=1e-3)
    assert splits.normalization.std == pytest.approx((0.3530,), abs=1e-3)


# CIFAR


def write_cifar10(root: Path) -> Bytes:
    """Five training batches, a test batch and the names; returns the test images (N, H, W, C)."""
    folder = root / datasets.CIFAR10.base_folder
    folder.mkdir(parents=True)
    files = [name for name, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list]
    for seed, name in enumerate(files):
        batch = {"data": pixels(20, 3072, seed=seed), "labels": labels(20).tolist()}
        (folder / name).write_bytes(pickle.dumps(batch))
    names = [f"thing {label}" for label in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return pixels(20, 3, 32, 32, seed=5).transpose(0, 2, 3, 1)  # (N, C, H, W) → (N, H, W, C)


def write_cifar100(root: Path) -> Bytes:
    folder = root / datasets.CIFAR100.base_folder
    folder.mkdir(parents=True)
    for seed, name in enumerate(("train", "test")):
        batch = {"data": pixels(300, 3072, seed=seed), "fine_labels": (np.arange(300) % 100).tolist()}
        (folder / name).write_bytes(pickle.dumps(batch))
    names = [f"thing {label}" for label in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names}))
    return pixels(300, 3, 32, 32, seed=1).transpose(0, 2, 3, 1)  # (N, C, H, W) → (N, H, W, C)


def trust(cifar: type[datasets.CIFAR10], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the MD5 sums of the files at ``root`` those that torchvision expects."""
    folder = root / cifar.base_folder
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(cifar, part, [[name, md5(folder / name)] for name, _ in getattr(cifar, part)])
    monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": md5(folder / cifar.meta["filename"])})


@pytest.mark.parametrize(
    ("data", "cifar", "write", "counts"),
    [
        ("cifar10", datasets.CIFAR10, write_cifar10, (90, 10, 20)),
        ("cifar100", datasets.CIFAR100, write_cifar100, (200, 100, 300)),
    ],
)
def test_cifar_batches_are_read(
    data: str,
    cifar: type[datasets.CIFAR10],
    write: Callable[[Path], Bytes],
    counts: tuple[int, int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test_images = write(tmp_path)
    trust(cifar, tmp_path, monkeypatch)
    splits = loaded(data, tmp_path, data_dir=tmp_path)
    assert (len(splits.train), len(splits.validation), len(splits.open_test())) == counts
    assert np.array_equal(splits.open_test().images, test_images)
    assert splits.class_names[-1] == f"thing {len(splits.class_names) - 1}"
    assert splits.symmetries == ("horizontal_flip",)


def test_a_fetched_archive_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test_images = write_cifar10(tmp_path / "made")
    trust(datasets.CIFAR10, tmp_path / "made", monkeypatch)
    archive = tmp_path / "fetched" / datasets.CIFAR10.filename
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as content:
        content.add(tmp_path / "made" / datasets.CIFAR10.base_folder, datasets.CIFAR10.base_folder)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
    splits = loaded("cifar10", tmp_path, data_dir=archive.parent)
    assert np.array_equal(splits.open_test().images, test_images)


def test_an_altered_pickle_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path)
    trust(datasets.CIFAR10, tmp_path, monkeypatch)
    ran = tmp_path / "ran"

    class Code:
        def __reduce__(self) -> tuple[Callable[[Path], object], tuple[Path]]:
            return Path.touch, (ran,)

    buffer = io.BytesIO()
    pickle.dump(Code(), buffer)
    (tmp_path / datasets.CIFAR10.base_folder / "data_batch_1").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match=r"cifar10: not found \(whole\)"):
        loaded("cifar10", tmp_path, data_dir=tmp_path)
    assert not ran.exists()


# SVHN


def write_svhn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files, whose MD5 sums torchvision then expects."""
    parts = dict(datasets.SVHN.split_list)
    for seed, (split, count) in enumerate(SPLITS.items()):
        url, name, _ = parts[split]
        ones = (np.arange(count) % 10 + 1).astype(np.uint8)  # 1 … 10, where 10 stands for the digit 0
        savemat(folder / name, {"X": pixels(32, 32, 3, count, seed=seed), "y": ones[:, np.newaxis]})
        parts[split] = [url, name, md5(folder / name)]
    monkeypatch.setattr(datasets.SVHN, "split_list", parts)


def test_svhn_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_svhn(tmp_path, monkeypatch)
    splits = loaded("svhn", tmp_path, data_dir=tmp_path)
    test = splits.open_test()
    assert (len(splits.train), len(splits.validation), len(test)) == (50, 10, 20)
    assert np.array_equal(
        test.images, pixels(32, 32, 3, 20, seed=1).transpose(3, 0, 1, 2)
    )  # (H, W, C, N) → (N, H, W, C)
    assert test.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 2
    assert splits.symmetries == ()


# downloads


@pytest.mark.parametrize(
    ("data", "file"),
    [
        ("mnist", "train-images-idx3-ubyte.gz"),
        ("fashion-mnist", "t10k-labels-idx1-ubyte.gz"),
        ("cifar10", "cifar-10-python.tar.gz"),
        ("cifar100", "cifar-100-python.tar.gz"),
        ("svhn", "train_32x32.mat"),
    ],
)
def test_a_failed_download_says_what_to_fetch(data: str, file: str, closed_port: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        loaded(data, tmp_path)
    message = caught.value.message
    assert f"{data}: not found (whole) in {tmp_path / 'cache' / 'downloads'}" in message
    assert "the download failed (" in message
    assert "Connection refused" in message
    assert f"{closed_port}{file}" in message
    assert message.endswith("put that into a directory, and name the directory with --data-dir")
    assert "\n" not in message


def test_a_failed_download_names_every_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"in {tmp_path / 'mine'} or {tmp_path / 'cache' / 'downloads'}, and"):
        loaded("cifar10", tmp_path, data_dir=tmp_path / "mine")


def test_a_download_leaves_the_patience_of_others_alone(tmp_path: Path) -> None:
    before = socket.getdefaulttimeout()
    with pytest.raises(DataError):
        loaded("cifar10", tmp_path)
    assert socket.getdefaulttimeout() == before
