"""Our datasets pass the kit for sources, and it names what is wrong with others. There is no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from convscout.testing import check_source
from convscout.trials.data.extent import Extent, Reading
from convscout.trials.data.sources import Available, DataRequest, Progress, Source, SourceImages, sources
from convscout.trials.data.splits import LabelledImages
from tests.support.image_trees import write_animals
from tests.trials.data.test_datasets_published import (
    closed_port,
    trust,
    write_cifar10,
    write_cifar100,
    write_idx,
    write_svhn,
)

CLASSES = ("cat", "dog")

_closed_port = closed_port  # every test here uses it: downloads go nowhere


def noise(count: int, seed: int = 0) -> LabelledImages:
    """Images of both classes in turn."""
    images = np.random.default_rng(seed).integers(256, size=(count, 8, 8, 3), dtype=np.uint8)
    return LabelledImages(images=images, labels=np.arange(count) % 2)


class Faultless(Source):
    """Noise in three splits."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        progress("reading", 1, 1)
        return SourceImages(train=noise(60), validation=noise(20, 1), test=noise(20, 2), class_names=CLASSES)


class Unseeded(Source):
    """New noise each time."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        return SourceImages(
            train=noise(60, int(np.random.default_rng().integers(1 << 30))), class_names=CLASSES
        )


class Overlapping(Source):
    """Its test images are some of the training images."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        return SourceImages(train=noise(60), test=noise(60).at(np.arange(20)), class_names=CLASSES)


class Unscaled(Source):
    """Pixels between 0 and 1 that were cut to whole numbers."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        dark = LabelledImages(images=noise(60).images // 255, labels=noise(60).labels)
        return SourceImages(train=dark, class_names=CLASSES)


class Float(Source):
    """Pixels between 0 and 1 as they are."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        pixels = (noise(60).images / 255).astype(np.float32)
        return SourceImages(
            train=LabelledImages(images=pixels, labels=noise(60).labels),
            class_names=CLASSES,
        )


class Transparent(Source):
    """A fourth channel."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        pixels = np.concatenate([noise(60).images, noise(60).images[..., :1]], axis=3)
        return SourceImages(train=LabelledImages(images=pixels, labels=noise(60).labels), class_names=CLASSES)


class Namesakes(Source):
    """Two classes of one name."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        return SourceImages(train=noise(60), class_names=("cat", "cat"))


class Nameless(Source):
    """A label for which there is no class."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        some = noise(60)
        return SourceImages(
            train=LabelledImages(images=some.images, labels=some.labels + 1), class_names=CLASSES
        )


class Symmetric(Source):
    """A symmetry that is none."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        return SourceImages(train=noise(60), class_names=CLASSES, symmetries=("rotation",))


class Overdone(Source):
    """More is done than there is to do."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        progress("reading", 61, 60)
        return SourceImages(train=noise(60), class_names=CLASSES)


class Whole(Source):
    """Reads all images, whatever share was asked for, and says that this was decided."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        available = Available(num_train=60, num_validation=20, num_test=20, num_classes=2, side=8, channels=3)
        return SourceImages(
            train=noise(60),
            validation=noise(20, 1),
            test=noise(20, 2),
            class_names=CLASSES,
            reading=Reading(available=available, extent=Extent(), chosen=False),
        )


class Local(Source):
    """Whatever location is named, the same noise."""

    location = "FILE"

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        return SourceImages(train=noise(60), class_names=CLASSES)


class Abrupt(Local):
    """A file that is not there ends it without words."""

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        Path(request.location).read_bytes()
        return super().read(request, progress)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type[Source]], None]]:
    """Makes a source known as ``faulty`` while the test runs."""
    sources.names()  # the built-in ones are there before the table is changed for a while

    def add(source: type[Source]) -> None:
        monkeypatch.setitem(sources._entries, "faulty", source)
        monkeypatch.setattr(source, "name", "faulty", raising=False)

    yield add


def test_a_faultless_source_conforms(known: Callable[[type[Source]], None]) -> None:
    known(Faultless)
    check_source("faulty")


@pytest.mark.parametrize(
    ("source", "data", "message"),
    [
        (Unseeded, "faulty", "other images the second time"),
        (Overlapping, "faulty", "20 of 20 test images are among the training images; overlap=0 allows 0"),
        (Unscaled, "faulty", "no pixel is brighter than 1;"),
        (Float, "faulty", "float32"),
        (Transparent, "faulty", "4 channels"),
        (Namesakes, "faulty", "several classes are called 'cat'"),
        (Nameless, "faulty", r"cannot be loaded: .* the train split has label 2"),
        (Symmetric, "faulty", "the symmetry 'rotation' is none of horizontal_flip"),
        (Overdone, "faulty", "61 of 60 are done: reading"),
        (Whole, "faulty", "half of the images are asked for, but it reads all 60 training images"),
        (Local, "faulty:here", "faulty:.*missing is read, but no images are there"),
        (Abrupt, f"faulty:{__file__}", "missing, .* ends with FileNotFoundError instead of DataError"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_fault_of_a_source_is_named(
    source: type[Source], data: str, message: str, known: Callable[[type[Source]], None]
) -> None:
    known(source)
    with pytest.raises(AssertionError, match=message):
        check_source(data)


def test_an_overlap_that_the_author_declares_is_allowed(known: Callable[[type[Source]], None]) -> None:
    known(Overlapping)
    check_source("faulty", overlap=1.0)


def test_digits_conform() -> None:
    check_source("digits")


def test_folders_conform(tmp_path: Path) -> None:
    check_source(f"folder:{write_animals(tmp_path / 'animals')}")


def test_archives_conform(tmp_path: Path) -> None:
    train, test = noise(60), noise(20, 1)
    np.savez(
        tmp_path / "noise.npz",
        x_train=train.images,
        y_train=train.labels,
        x_test=test.images,
        y_test=test.labels,
    )
    check_source(f"npz:{tmp_path / 'noise.npz'}")


@pytest.mark.parametrize("data", ["mnist", "fashion-mnist"])
def test_idx_files_conform(data: str, tmp_path: Path) -> None:
    write_idx(tmp_path, packed=True)
    check_source(data, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("data", "cifar", "write"),
    [("cifar10", datasets.CIFAR10, write_cifar10), ("cifar100", datasets.CIFAR100, write_cifar100)],
)
def test_cifar_batches_conform(
    data: str,
    cifar: type[datasets.CIFAR10],
    write: Callable[[Path], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path)
    trust(cifar, tmp_path, monkeypatch)
    check_source(data, data_dir=tmp_path)


def test_svhn_files_conform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_svhn(tmp_path, monkeypatch)
    check_source("svhn", data_dir=tmp_path)
