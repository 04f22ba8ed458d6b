"""Mapped images are read like an array, travel as a path, and cost no memory."""

from __future__ import annotations

import pickle
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convscout.search_space.augmentation import augmentations
from convscout.search_space.errors import DataError
from convscout.trials.data.batches import Batches, TrainingData
from convscout.trials.data.mapped_images import MappedImages, PixelFile, Pixels, blocks
from convscout.trials.data.sources import DataRequest, load
from convscout.trials.data.splits import LabelledImages

COUNT = 50


def write(path: Path, *, side: int = 6, key: str = "one") -> Pixels:
    """Random images in the file that is mapped; returns them."""
    pixels = np.random.default_rng(len(key)).integers(0, 256, (COUNT, side, side, 3), dtype=np.uint8)
    np.savez(path, images=pixels, key=np.array(key))
    return pixels


@pytest.fixture(params=[6, 160], ids=["small images", "images larger than what the system reads ahead"])
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[MappedImages, Pixels]:
    """Some images in a file, and the same in memory."""
    pixels = write(tmp_path / "file.npz", side=request.param)
    rows = np.random.default_rng(1).permutation(COUNT)[:30]
    return MappedImages(PixelFile(tmp_path / "file.npz", "one"), rows), pixels[rows]


@pytest.mark.parametrize(
    "which",
    [
        0,
        -1,
        np.int64(7),
        slice(None),
        slice(3, 9),
        slice(0, 0),
        slice(None, None, -2),
        np.array([5, 5, -1, 0]),
    ],
    ids=str,
)
def test_indexing_is_that_of_an_array(pair: tuple[MappedImages, Pixels], which: Any) -> None:
    mapped, pixels = pair
    assert np.array_equal(mapped[which], pixels[which])
    assert mapped[which].flags.writeable, "a copy"


def test_it_looks_like_an_array(pair: tuple[MappedImages, Pixels]) -> None:
    mapped, pixels = pair
    for name in ("shape", "ndim", "dtype", "nbytes"):
        assert getattr(mapped, name) == getattr(pixels, name)
    assert len(mapped) == len(pixels)
    assert all(map(np.array_equal, mapped, pixels))


def test_an_index_out_of_range_is_refused(pair: tuple[MappedImages, Pixels]) -> None:
    for which in (30, -31, np.array([0, 30])):
        with pytest.raises(IndexError):
            pair[0][which]


def test_a_part_of_a_part_reads_nothing(pair: tuple[MappedImages, Pixels]) -> None:
    mapped, pixels = pair
    part = mapped.at(np.array([4, 2, 9])).at(np.array([2, 0]))
    assert isinstance(part, MappedImages)
    assert np.array_equal(part[:], pixels[[9, 4]])
    labelled = LabelledImages(images=mapped, labels=np.zeros(30, dtype=np.int64))
    assert isinstance(labelled.at(np.arange(3)).images, MappedImages)
    assert labelled.memory_bytes == 30 * 8


def test_blocks_are_all_images_in_order(
    pair: tuple[MappedImages, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscout.trials.data.mapped_images._BLOCK_BYTES", 7 * pair[1][0].nbytes)
    for images in pair:
        found = list(blocks(images))
        assert [len(block) for block in found] == [7, 7, 7, 7, 2]
        assert np.array_equal(np.concatenate(found), pair[1])


def test_letting_go_of_pages_changes_nothing(
    pair: tuple[MappedImages, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscout.trials.data.mapped_images._MOST_MAPPED_BYTES", 0)
    assert np.array_equal(pair[0][:], pair[1])
    assert np.array_equal(pair[0][:], pair[1])


def test_it_is_pickled_as_a_path_and_read_again(pair: tuple[MappedImages, Pixels]) -> None:
    mapped, pixels = pair
    content = pickle.dumps((mapped, mapped.at(np.arange(3))))
    assert len(content) < 1500
    one, other = pickle.loads(content)
    assert np.array_equal(one[:], pixels)
    assert other.file is one.file, "mapped once"


def test_a_file_that_is_gone_or_another_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    write(path)
    content = pickle.dumps(MappedImages(PixelFile(path, "one"), np.arange(3)))
    write(path, key="another")
    with pytest.raises(DataError, match=r"file\.npz: these decoded images were removed or replaced"):
        pickle.loads(content)
    path.unlink()
    with pytest.raises(DataError, match="resume the study, or begin a new one"):
        pickle.loads(content)


# memory

SIDE, PER_CLASS = 256, 1000


def load_and_train(folder: Path, memory: int | None) -> tuple[int, int]:
    """How many bytes a process grows at its peak by an epoch of mapped images, and how many those are."""
    for name in ("cat", "dog"):
        (folder / "images" / name).mkdir(parents=True)
        for index in range(PER_CLASS):
            colour = (index % 256, index // 256, 7)
            Image.new("RGB", (SIDE, SIDE), colour).save(folder / "images" / name / f"{index}.png")
    torch.set_num_threads(1)
    warm = Batches(
        LabelledImages(images=np.zeros((64, SIDE, SIDE, 3), np.uint8), labels=np.zeros(64, dtype=np.int64)),
        load(DataRequest(data="digits", seed=0, cache=folder)).normalization,
        num_classes=2,
        device=torch.device("cpu"),
    )
    crop = augmentations.get("crop")()
    list(warm.shuffled(8, crop, torch.Generator()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    request = DataRequest(data=f"folder:{folder / 'images'}", seed=0, cache=folder / "cache", memory=memory)
    splits = load(request)
    assert len(splits.fingerprint) == 64
    data = TrainingData.of(splits)
    batches = Batches(data.train, data.normalization, num_classes=2, device=torch.device("cpu"))
    for _ in batches.shuffled(8, crop, torch.Generator()):
        pass
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before), splits.num_bytes


@pytest.mark.slow
def test_a_dataset_larger_than_the_memory_is_decoded_and_trained_on_in_little() -> None:
    # in a process of its own, whose peak is not that of other tests
    answer = subprocess.run(
        [sys.executable, "-m", "tests.trials.data.test_mapped_images"], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    grown, data = map(int, answer.stdout.split())
    assert data == 2 * PER_CLASS * SIDE**2 * 3
    assert grown < data / 3


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(*load_and_train(Path(place), memory=int(sys.argv[1]) if sys.argv[1:] else 0))
