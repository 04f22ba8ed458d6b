"""Levels: what is white in images, and whether a network can tell anything by them, found out from a few."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from convscout.search_space.errors import DataError
from convscout.trials.data.image_files import Header, hides_on_white, read_header, read_top_level
from convscout.trials.data.image_tree import ImageTree
from convscout.trials.data.splits import LabelledImages, Pixels
from convscout.trials.data.white import FULL, describe_white, white_of

T = TypeVar("T")
_NUM_FILES, _NUM_IMAGES = 64, 500  # that are looked at
_NUM_CLEAR = 16  # transparent files, which are decoded each time that the tree is read
_MOST_DEEP = 2000  # files that are looked at before a level of few bits is called white
_SEED = 6174
_FLAT = 8  # levels between the darkest and the lightest pixel: nobody sees a picture in that
_MANY_FLAT = 0.2  # of the images


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Which of the 16-bit levels is ``white``, and in ``notes`` what a person should know of all levels."""

    white: int
    notes: tuple[str, ...]


def check_levels(tree: ImageTree, white: int | None = None) -> Levels:
    """What the levels in the files of ``tree`` mean, told by a few of them, unless ``white`` is given."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # what is wrong with a file is told when all are read
        return _check_levels(tree, white)


def _check_levels(tree: ImageTree, white: int | None) -> Levels:
    order = np.random.default_rng(_SEED).permutation(len(tree.files))[:_MOST_DEEP]
    paths = [tree.root / tree.files[index].path for index in order if not tree.files[index].problem]
    headers = _headers(paths[:_NUM_FILES])
    notes = []
    if any(header.deep for header in headers.values()):
        top = _top_level([path for path, header in _headers(paths).items() if header.deep])
        found, white = white_of(top), white_of(top) if white is None else white
        if found < FULL:
            notes.append(describe_white("levels of 16 bits", top, white))
    if several := sum(header.several for header in headers.values()):
        seen = f"{several} of {len(headers)} files that were looked at"
        notes.append(f"{seen} hold several pictures, of which the first is read")
    clear = [path for path, header in headers.items() if header.transparent][:_NUM_CLEAR]
    if hidden := sum(bool(_look(hides_on_white, path)) for path in clear):
        seen = f"{hidden} of {len(clear)} transparent files that were looked at"
        notes.append(f"{seen} would be blank on white, and are laid on black")
    return Levels(white=FULL if white is None else white, notes=tuple(notes))


def describe_flat(train: LabelledImages, least: float = _MANY_FLAT) -> tuple[str, ...]:
    """A sentence where a share of at least ``least`` of the training images shows next to nothing."""
    rows = np.unique(np.linspace(0, len(train) - 1, _NUM_IMAGES).astype(np.intp))
    one_by_one = (
        train.at(row).images[:][0] for row in rows.reshape(-1, 1)
    )  # all at once may fill the memory
    num_flat = sum(map(_is_flat, one_by_one))
    if num_flat < least * len(rows):
        return ()
    return (
        f"{num_flat} of {len(rows)} training images that were looked at are nearly of one colour, so networks "
        "can tell little by them; look at `convscout datasets check`",
    )


def _is_flat(pixels: Pixels) -> bool:
    """Whether an image (H, W, C) is nearly of one colour."""
    return bool((np.ptp(pixels, axis=(0, 1)) <= _FLAT).all())


def _top_level(deep: list[Path]) -> int:
    """The highest level in the files, or one so high that all 16 bits are known to be used."""
    top = 0
    for path in deep:
        top = max(top, _look(read_top_level, path) or 0)
        if white_of(top) == FULL and top:
            break
    return top


def _headers(paths: list[Path]) -> dict[Path, Header]:
    """Those of the files that have one."""
    found = ((path, _look(read_header, path)) for path in paths)
    return {path: header for path, header in found if header}


def _look(look: Callable[[Path], T], path: Path) -> T | None:
    """What ``look`` says of a file; None where it cannot be read, which is told when all are."""
    try:
        return look(path)
    except DataError:
        return None
