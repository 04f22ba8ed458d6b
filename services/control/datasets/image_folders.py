"""Unpacked image folders: whether a study can be started on them, found out without decoding them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from convscout.search_space.errors import DataError
from convscout.services.schemas.datasets import DatasetFacts, SkippedFile
from convscout.trials.data.datasets.folder import symmetries_of
from convscout.trials.data.image_decoding import Decoding, DecodingPlan, plan
from convscout.trials.data.image_files import read_pixels
from convscout.trials.data.image_tree import ImageFile, ImageTree, scan
from convscout.trials.data.levels import check_levels

_MAX_BAD = 0.01  # share of files without a header, as a study skips them
_SAMPLE = 64  # files that are decoded
_SAMPLE_BAD = 0.1  # share of those
_SAMPLE_SIDE = 64  # pixels


class Examined(NamedTuple):
    """What a tree holds, and the files that were taken out of it because they are no images."""

    facts: DatasetFacts
    removed: list[SkippedFile]


def examine(root: Path) -> Examined:
    """Look at the tree under ``root`` and remove files whose headers are none, or promise too many pixels.

    Raises ``DataError``, with paths as they are in the tree, where no study could be started on it.
    """
    try:
        tree = scan(root)
        symmetries_of(tree.top, tree.class_names)
        levels = check_levels(tree)
        planned = plan(
            tree, Decoding(image_size=None, max_bad=_MAX_BAD, progress=_silent, white=levels.white)
        )
        _check_counts(tree, planned.bad)
        _check_sample(tree, planned)
    except DataError as error:
        raise DataError(error.message.replace(f"{root}/", "").replace(str(root), "the archive")) from None
    for index in planned.bad:
        (root / tree.files[index].path).unlink()
    facts = DatasetFacts(
        num_images=len(tree.files) - len(planned.bad),
        classes=tree.class_names,
        image_size=planned.common_side,
        notes=(*tree.notes, *levels.notes, *planned.headers.describe(planned.size)),
    )
    return Examined(facts, [SkippedFile(path=bad.path, reason=bad.reason) for bad in planned.bad.values()])


def _silent(description: str, done: int, total: int) -> None:
    pass


def _check_counts(tree: ImageTree, bad: Collection[int]) -> None:
    """Raise ``DataError`` unless each split can have an image of each of several classes."""
    if len(tree.class_names) < 2:
        raise DataError(f"needs at least two class folders, but has {len(tree.class_names)}")
    needed = 1 + (tree.validation is None) + (tree.test is None)
    start = 0
    for files, least in ((tree.train, needed), (tree.validation or (), 1), (tree.test or (), 1)):
        if files:
            good = [file for index, file in enumerate(files, start) if index not in bad]
            _check_classes(tree, good, least)
        start += len(files)


def _check_classes(tree: ImageTree, good: list[ImageFile], least: int) -> None:
    counts = Counter(file.label for file in good)
    for label, name in enumerate(tree.class_names):
        if counts[label] < least:
            raise DataError(
                f"class {name!r} needs at least {least} image(s) to be split, but has {counts[label]}"
            )


def _check_sample(tree: ImageTree, planned: DecodingPlan) -> None:
    """Decode some files, evenly spread. Raises ``DataError`` where many cannot be."""
    good = [file for index, file in enumerate(tree.files) if index not in planned.bad]
    sample = good[:: max(1, len(good) // _SAMPLE)]
    faults = [fault for file in sample if (fault := _fault(tree.root, file, planned))]
    if len(faults) > _SAMPLE_BAD * len(sample):
        raise DataError(
            f"{len(faults)} of {len(sample)} images that were tried cannot be decoded: {faults[0]}"
        )


def _fault(root: Path, file: ImageFile, planned: DecodingPlan) -> str:
    try:
        side = min(planned.common_side, _SAMPLE_SIDE)
        read_pixels(root / file.path, side, planned.channels, white=planned.white)
    except DataError as error:
        return f"{file.path} {error.message}"
    return ""
