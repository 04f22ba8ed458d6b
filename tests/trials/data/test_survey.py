"""A few files from all over a tree tell what it is like, and no more of them than there is patience for."""

from __future__ import annotations

from pathlib import Path

import pytest

from convscout.trials.data import survey as surveying
from convscout.trials.data.image_decoding import Decoding, Headers, read_headers
from convscout.trials.data.image_tree import ImageTree, scan
from convscout.trials.data.sources import Progress
from convscout.trials.data.splits import BadImage
from convscout.trials.data.survey import Survey, survey
from tests.support.image_trees import noise, write_class


@pytest.fixture
def tree(tmp_path: Path) -> ImageTree:
    """Two classes of 150 images."""
    for seed, name in enumerate(("cat", "dog")):
        write_class(tmp_path / "animals" / name, count=150, seed=seed)
    return scan(tmp_path / "animals")


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[ImageTree]:
    """Grows with every sample that is looked at."""
    samples: list[ImageTree] = []

    def noted(tree: ImageTree, progress: Progress) -> tuple[Headers, dict[int, BadImage]]:
        samples.append(tree)
        return read_headers(tree, progress)

    monkeypatch.setattr(surveying, "read_headers", noted)
    return samples


def surveyed(tree: ImageTree, *, timed: bool = True) -> Survey:
    return survey(tree, Decoding(image_size=None, max_bad=0.01, progress=lambda *told: None), timed=timed)


def test_a_sample_has_files_of_every_class_and_each_once(tree: ImageTree, looked_at: list[ImageTree]) -> None:
    found = surveyed(tree, timed=False)
    assert (found.side, found.channels) == (8, 3)
    files = [file for sample in looked_at for file in sample.files]
    assert len({file.path for file in files}) == len(files) == 200
    assert 70 < sum(file.label for file in files) < 130


def test_reading_that_takes_long_is_looked_at_in_a_few_files(
    tree: ImageTree, looked_at: list[ImageTree], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "_PATIENCE_S", 0)
    assert surveyed(tree).read_s > 0
    assert [len(sample.files) for sample in looked_at] == [8]


def test_files_without_an_image_are_no_reason_to_stop(tree: ImageTree) -> None:
    for file in tree.files[1:]:
        (tree.root / file.path).write_bytes(b"")
    noise(0, width=12, height=12).save(tree.root / tree.files[0].path)
    found = survey(tree, Decoding(image_size=None, max_bad=0.999, progress=lambda *told: None), timed=True)
    assert (found.side, found.channels) == (12, 3)
