"""A part of the images is read: the same one every time, of every class, and chosen once it is known what there is."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convscout.search_space.errors import ConfigError, DataError
from convscout.trials.data import image_cache, image_decoding
from convscout.trials.data.division import divide
from convscout.trials.data.image_tree import ImageTree
from convscout.trials.data.sources import Available, DataRequest, Extent, load
from convscout.trials.data.splits import DataSplits, LabelledImages
from tests.support.image_trees import noise, sizes, write_class

SHARES = (0.1, 0.34, 0.5, 0.9, 1.0)
COUNTS = (40, 25)  # images of each class


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes that convscout is to split."""
    for seed, (name, count) in enumerate(zip(("cat", "dog"), COUNTS, strict=True)):
        write_class(tmp_path / "animals" / name, count=count, seed=seed)
    return tmp_path / "animals"


@pytest.fixture
def cut_tree(tmp_path: Path) -> Path:
    """Two classes, cut into train, val and test."""
    for seed, (split, name) in enumerate(itertools.product(("train", "val", "test"), ("cat", "dog"))):
        write_class(tmp_path / "animals" / split / name, count=20, seed=seed)
    return tmp_path / "animals"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An npz file of two classes that convscout is to split."""
    labels = np.repeat((0, 1), COUNTS)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "animals.npz", images=images, labels=labels)
    return tmp_path / "animals.npz"


@pytest.fixture
def decoded_files(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every decoding by the number of files that it was of."""
    counts: list[int] = []

    def counted(tree: ImageTree, *arguments: Any) -> object:
        counts.append(len(tree.files))
        return image_decoding.decode(tree, *arguments)

    monkeypatch.setattr(image_cache, "decode", counted)
    return counts


def read(place: Path, share: float | None = None, **request: Any) -> DataSplits:
    """What is loaded of the tree or archive at ``place``, with a cache beside it."""
    source = "folder" if place.is_dir() else "npz"
    cache = request.pop("cache", place.parent / "cache")
    return load(
        DataRequest(data=f"{source}:{place}", share=share, cache=cache, **{"seed": 0, **request}),
    )


def pixels(*parts: LabelledImages) -> set[bytes]:
    return {image.tobytes() for part in parts for image in part.images}


def everything(splits: DataSplits) -> set[bytes]:
    return pixels(splits.train, splits.validation, splits.open_test())


# which images


@pytest.fixture(params=["tree", "cut_tree", "archive"])
def place(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def test_a_larger_share_has_all_images_of_a_smaller_one(place: Path) -> None:
    found = [read(place, share) for share in SHARES]
    for smaller, larger in itertools.pairwise(found):
        assert everything(smaller) < everything(larger)
        assert pixels(smaller.open_test()) <= pixels(larger.open_test())


def test_no_test_image_is_trained_on_at_another_share(place: Path) -> None:
    found = [read(place, share, seed=seed) for seed, share in enumerate(SHARES)]
    tested = set[bytes]().union(*(pixels(splits.open_test()) for splits in found))
    for splits in found:
        assert not tested & pixels(splits.train, splits.validation)


def test_every_class_and_split_is_read_in_part(cut_tree: Path) -> None:
    splits = read(cut_tree, 0.35)
    for part in (splits.train, splits.validation, splits.open_test()):
        assert np.bincount(part.labels).tolist() == [7, 7]


def test_splits_that_are_held_out_are_shares_of_the_part(tree: Path) -> None:
    whole, half = read(tree), read(tree, 0.5)
    for part, of_half in (
        (whole.train, half.train),
        (whole.validation, half.validation),
        (whole.open_test(), half.open_test()),
    ):
        assert np.allclose(np.bincount(of_half.labels), np.bincount(part.labels) / 2, atol=1)


def test_no_class_is_emptied(place: Path) -> None:
    splits = read(place, 0.001)
    for part in (splits.train, splits.validation, splits.open_test()):
        assert np.bincount(part.labels).tolist() == [1, 1]


def test_a_class_with_few_images_is_taken_whole() -> None:
    labels = {"train": np.repeat((0, 1), (100, 3))}
    rows = divide(labels, share=0.01, validation_share=0.1, seed=0)
    assert [np.bincount(labels["train"][rows[name]]).tolist() for name in rows] == [[1, 1]] * 3


def test_the_same_request_gives_the_same_images(place: Path, tmp_path: Path) -> None:
    first, again = read(place, 0.34), read(place, 0.34, cache=tmp_path / "another")
    assert first.fingerprint == again.fingerprint == read(place, 0.34).fingerprint
    assert first.fingerprint != read(place).fingerprint


def test_studies_of_one_share_are_judged_on_the_same_images(place: Path) -> None:
    one, other = read(place, 0.5), read(place, 0.5, seed=1)
    assert everything(one) == everything(other)
    assert pixels(one.open_test()) == pixels(other.open_test())


def test_images_keep_their_labels(cut_tree: Path) -> None:
    splits = read(cut_tree, 0.5)
    classes = {noise(1000 * seed + i).tobytes(): seed % 2 for seed in range(6) for i in range(20)}
    for part in (splits.train, splits.validation, splits.open_test()):
        assert [classes[image.tobytes()] for image in part.images] == part.labels.tolist()


# files


def test_only_the_part_is_decoded(tree: Path, decoded_files: list[int]) -> None:
    splits = read(tree, 0.34)
    assert decoded_files == [sum(sizes(splits))] == [23]
    read(tree, 0.34, seed=1)
    assert decoded_files == [23], "which files are read must not depend on the seed"


def test_only_headers_of_the_part_are_read(tree: Path) -> None:
    told: dict[str, int] = {}
    request = DataRequest(data=f"folder:{tree}", share=0.34, seed=0, cache=tree.parent / "cache")
    load(request, lambda description, done, total: told.update({description: total}))
    assert told == {"reading image headers": 23, "decoding images": 23}


@pytest.mark.parametrize("memory", [None, 0])
def test_a_part_is_taken_out_of_the_whole_where_that_is_kept(
    tree: Path, tmp_path: Path, decoded_files: list[int], memory: int | None
) -> None:
    (tree / "cat" / "003.png").write_bytes(b"")
    expected = read(tree, 0.9, cache=tmp_path / "another", max_bad_images=0.1)
    read(tree, max_bad_images=0.1)
    del decoded_files[:]
    found = read(tree, 0.9, max_bad_images=0.1, memory=memory)
    assert not decoded_files
    assert (found.fingerprint, found.skipped) == (expected.fingerprint, expected.skipped)


def test_a_part_that_the_whole_would_show_otherwise_is_decoded(tree: Path, decoded_files: list[int]) -> None:
    for path in sorted(tree.rglob("*.png"))[1:]:
        noise(len(path.name) + int(path.stem), mode="L").save(path)
    whole, part = read(tree), read(tree, 0.1)
    assert (whole.image.in_channels, part.image.in_channels) == (3, 1)
    assert len(decoded_files) == 2


def test_the_own_size_of_images_is_not_decoded_twice_when_it_is_named(
    tree: Path, decoded_files: list[int]
) -> None:
    unnamed = read(tree, 0.5)
    named = read(tree, 0.5, image_size=unnamed.image.image_size)
    assert named.fingerprint == unnamed.fingerprint
    assert len(decoded_files) == 1


def test_a_damaged_whole_gives_no_part(tree: Path, decoded_files: list[int]) -> None:
    expected = read(tree, 0.5).fingerprint
    read(tree)
    for path in (tree.parent / "cache" / "images").glob("*.npz"):
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 1
        path.write_bytes(content)
    assert read(tree, 0.5).fingerprint == expected
    assert len(decoded_files) == 3


def test_damaged_files_of_a_part_are_named(tree: Path) -> None:
    for path in tree.rglob("*.png"):
        if path.stem != "001":
            path.write_bytes(b"")
    with pytest.raises(DataError, match=r"of 23 image files cannot be read(.|\n)*\.png is empty"):
        read(tree, 0.34)


def test_a_damaged_file_moves_no_other_into_another_split(tree: Path) -> None:
    before = read(tree)
    (tree / "cat" / "003.png").write_bytes(b"")
    after = read(tree, max_bad_images=0.1)
    assert pixels(after.open_test()) <= pixels(before.open_test())


def test_forgetting_a_tree_removes_every_part(tree: Path) -> None:
    cache = tree.parent / "cache" / "images"
    for share, image_size in ((0.5, None), (0.5, 12), (1.0, None)):
        read(tree, share, image_size=image_size)
    other = tree.parent / "others"
    for seed, name in enumerate(("cat", "dog")):
        write_class(other / name, seed=seed)
    read(other)
    assert len(list(cache.glob("*.npz"))) == 4
    image_cache.forget(tree, cache)
    assert len(list(cache.iterdir())) == 2, "the other tree's pixels and lock stay"


# choosing


def chooser(extent: Extent) -> tuple[list[Available], Callable[[Available], Extent]]:
    """What the choice will have been asked, and a choice that is always ``extent``."""
    asked: list[Available] = []

    def choose(available: Available) -> Extent:
        asked.append(available)
        return extent

    return asked, choose


def test_the_choice_knows_what_a_tree_has(cut_tree: Path) -> None:
    asked, choose = chooser(Extent(share=0.5, image_size=6))
    splits = read(cut_tree, choose=choose)
    (available,) = asked
    assert (available.num_train, available.num_validation, available.num_test) == (40, 40, 40)
    assert (available.num_classes, available.side, available.channels) == (2, 8, 3)
    assert 0 < available.read_s == available.resized_read_s < 0.1
    assert (splits.share, splits.image.image_size, sizes(splits)) == (0.5, 6, (20, 20, 20))
    assert splits.available == available


def test_the_choice_knows_what_an_archive_has(archive: Path) -> None:
    asked, choose = chooser(Extent(share=0.5, image_size=6))
    splits = read(archive, choose=choose)
    assert asked == [
        Available(num_train=65, num_validation=0, num_test=0, num_classes=2, side=8, channels=3, read_s=0.0)
    ]
    assert (splits.share, splits.image.image_size) == (0.5, 6)


def test_reading_costs_nothing_where_the_whole_is_kept(tree: Path) -> None:
    read(tree)
    asked, choose = chooser(Extent())
    read(tree, choose=choose)
    assert asked[0].read_s == 0 < asked[0].resized_read_s


def test_what_is_given_is_not_chosen(place: Path) -> None:
    asked, choose = chooser(Extent(share=0.5, image_size=6, validation_share=0.2))
    splits = read(place, 0.34, image_size=12, validation_share=0.3, choose=choose)
    assert splits.reading is not None
    assert (splits.share, splits.image.image_size, asked) == (0.34, 12, [])
    assert splits.reading.extent.validation_share == 0.3
    assert read(place, 0.34, choose=choose).image.image_size == 6
    assert read(place, image_size=12, choose=choose).share == 0.5
    held_out = read(place, 0.34, image_size=12, choose=choose)
    assert held_out.reading is not None and held_out.reading.extent.validation_share == 0.2
    assert len(asked) == 3


def test_what_was_chosen_can_be_asked_for(place: Path) -> None:
    chosen = read(place, choose=chooser(Extent(share=0.5, image_size=6))[1])
    assert read(place, 0.5, image_size=6).fingerprint == chosen.fingerprint


def test_without_a_choice_all_is_read(place: Path) -> None:
    splits = read(place)
    assert (splits.share, splits.image.image_size) == (1.0, 8)


def test_a_tree_whose_sample_holds_no_image_is_told_as_ever(tree: Path) -> None:
    for path in tree.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="65 of 65 image files cannot be read"):
        read(tree, choose=chooser(Extent())[1])


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(ConfigError, match=r"share: must be a share in \(0, 1\], but got"):
        DataRequest(data="digits", share=share, seed=0, cache=tmp_path)
