"""Sources: what every one of them gets from ``load``, shown on digits and on one made here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from convscout.search_space.errors import ConfigError, DataError, UnknownNameError
from convscout.trials.data.sources import DataRequest, Progress, Source, SourceImages, load, sources
from convscout.trials.data.splits import DataSplits, LabelledImages
from tests.support.places import ROOT

_NAMED = """
import sys
from convscout.trials.data.sources import sources
sources.names()
print({"sklearn", "scipy", "torchvision", "torch"} & set(sys.modules))
"""
BUILT_IN = ("cifar10", "cifar100", "digits", "fashion-mnist", "folder", "mnist", "npz", "svhn")


def request(data: str, cache: Path, *, seed: int = 0, image_size: int | None = None) -> DataRequest:
    return DataRequest(data=data, seed=seed, cache=cache, image_size=image_size)


def test_the_built_in_sources_find_themselves() -> None:
    assert set(BUILT_IN) <= set(sources.names())


def test_the_names_of_sources_wait_for_none_of_their_libraries() -> None:
    """Each command that checks a study's settings asks for them."""
    told = subprocess.run(
        [sys.executable, "-c", _NAMED], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert told == "set()\n"


def test_an_unknown_source_names_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown dataset 'cifar'; choose from cifar10, .*Did you mean"
    ):
        load(request("cifar", tmp_path))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("folder", "data 'folder' lacks its location; write folder:PATH"),
        ("npz:", "data 'npz:' lacks its location; write npz:FILE"),
        ("digits:here", "data 'digits:here': digits takes no location; write just digits"),
    ],
)
def test_a_location_stands_where_it_belongs(data: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load(request(data, tmp_path))


def test_all_faults_of_a_request_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        DataRequest(
            data="digits",
            seed=0,
            cache=tmp_path,
            image_size=2,
            validation_share=0.0,
            max_bad_images=float("nan"),
        )
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["image_size", "validation_share", "max_bad_images"]
    assert "image_size: must be a whole number of pixels in [4, 1024], but got 2" in caught.value.message


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> DataSplits:
    return load(request("digits", tmp_path_factory.mktemp("cache")))


def test_digits_are_the_images_of_scikit_learn(digits: DataSplits) -> None:
    parts = (digits.train, digits.validation, digits.open_test())
    assert [len(part) for part in parts] == [1295, 143, 359]
    assert digits.class_names == tuple("0123456789")
    assert digits.symmetries == ()
    assert digits.train.images.shape[1:] == (8, 8, 1)
    sixteenths = np.concatenate([part.images for part in parts])[..., 0] / 255 * 16
    expected = load_digits().images
    assert sorted(map(bytes, sixteenths.round().astype(np.uint8))) == sorted(
        map(bytes, expected.astype(np.uint8))
    )


def test_every_split_of_digits_has_every_class(digits: DataSplits) -> None:
    for part, share in ((digits.validation, 0.08), (digits.open_test(), 0.2)):
        counts = np.bincount(part.labels, minlength=10)
        assert np.allclose(counts / load_digits().target.size, share / 10, atol=0.005)


def test_the_test_split_is_the_same_for_every_seed(digits: DataSplits, tmp_path: Path) -> None:
    other = load(request("digits", tmp_path, seed=1))
    assert np.array_equal(other.open_test().images, digits.open_test().images)
    assert np.array_equal(other.open_test().labels, digits.open_test().labels)
    assert not np.array_equal(other.validation.images, digits.validation.images)
    assert other.fingerprint != digits.fingerprint


def test_the_same_request_gives_the_same_splits(digits: DataSplits, tmp_path: Path) -> None:
    assert load(request("digits", tmp_path)).fingerprint == digits.fingerprint


def test_images_are_resized_when_asked(digits: DataSplits, tmp_path: Path) -> None:
    larger = load(request("digits", tmp_path, image_size=16))
    assert larger.image.image_size == 16
    assert np.array_equal(larger.train.labels, digits.train.labels)
    halves = larger.train.images.reshape(-1, 8, 2, 8, 2, 1).mean(axis=(2, 4))  # (N, 16, 16, 1) → (N, 8, 8, 1)
    correlation = np.corrcoef(halves.ravel(), digits.train.images.ravel())[0, 1]
    assert correlation > 0.97, "resizing must keep the picture"


def test_splits_own_their_memory(digits: DataSplits) -> None:
    for part in (digits.train, digits.validation, digits.open_test()):
        assert part.images.base is None
        assert part.images.flags.c_contiguous


class Made(Source):
    """What one test wants ``load`` to see."""

    found: SourceImages

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        return self.found


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Made]]:
    sources.names()  # the built-in ones are there before the table is changed for a while
    monkeypatch.setitem(sources._entries, "made", Made)
    monkeypatch.setattr(Made, "name", "made", raising=False)
    yield Made


def images(labels: list[int], *, height: int = 8, width: int = 8) -> LabelledImages:
    return LabelledImages(
        images=np.zeros((len(labels), height, width, 1), dtype=np.uint8),
        labels=np.array(labels, dtype=np.int64),
    )


FAULTS = {
    "one class": (images([0, 0, 0]), ("cat",), "made: needs at least two classes, but has 1: cat"),
    "no images": (images([]), ("cat", "dog"), "made: the train split has no images"),
    "label too high": (
        images([0, 1, 2] * 4),
        ("cat", "dog"),
        r"made: labels must lie in \[0, 1\], as there are 2 classes, but the train split has label 2",
    ),
    "negative label": (images([0, 1, -1] * 4), ("cat", "dog"), "but the train split has label -1"),
    "fewer images than classes": (
        images([0, 1]),
        ("cat", "dog", "eel"),
        r"made: has fewer training images \(2\) than classes \(3\); add images",
    ),
    "empty class": (
        images([0, 0, 0, 2, 2, 2]),
        ("cat", "dog", "eel"),
        r"made: each class needs at least 3 readable .* these have fewer: dog \(0\); add images or remove",
    ),
    "too few to split": (images([0, 0, 0, 1, 1]), ("cat", "dog"), r"these have fewer: dog \(2\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_unusable_classes_are_named(fault: str, made: type[Made], tmp_path: Path) -> None:
    train, class_names, message = FAULTS[fault]
    made.found = SourceImages(train=train, class_names=class_names)
    with pytest.raises(DataError, match=message):
        load(request("made", tmp_path))


def test_the_splits_of_a_source_are_kept(made: type[Made], tmp_path: Path) -> None:
    made.found = SourceImages(
        train=images([0, 1] * 3),
        validation=images([0, 1, 1]),
        test=images([1, 0]),
        class_names=("cat", "dog"),
    )
    splits = load(request("made", tmp_path))
    assert splits.train.labels.tolist() == [0, 1] * 3
    assert splits.validation.labels.tolist() == [0, 1, 1]
    assert splits.open_test().labels.tolist() == [1, 0]


def test_rectangles_are_cropped_about_their_centre(made: type[Made], tmp_path: Path) -> None:
    wide = images([0, 1] * 5, height=8, width=14)
    wide.images[:, :, 3:11] = 200
    made.found = SourceImages(train=wide, class_names=("cat", "dog"))
    splits = load(request("made", tmp_path))
    assert splits.train.images.shape[1:] == (8, 8, 1)
    assert (splits.train.images == 200).all()
