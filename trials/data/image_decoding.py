"""Image decoding: all files of an image tree, one after the other, by all cores, naming those that cannot be read.

By threads: Pillow lets go of Python's lock while it decodes a large image, and processes would either
fork a program that runs threads or run a person's unguarded script once more in each of them.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from convscout.search_space.errors import DataError
from convscout.trials.compute.read_ahead import read_ahead
from convscout.trials.data.division import Rows
from convscout.trials.data.image_files import read_header, read_pixels
from convscout.trials.data.image_tree import ImageFile, ImageTree
from convscout.trials.data.sources import LARGEST_IMAGE, MUCH_CUT, SMALLEST_IMAGE, Progress
from convscout.trials.data.splits import BadImage, Pixels
from convscout.trials.data.white import FULL

R = TypeVar("R")
_CHUNK, _CHUNK_BYTES = 128, 2**20  # most files and pixels that a thread is handed at once
_SMALL_SIDE = 64  # pixels
_COMMON = 0.2  # of the files: a side that fewer have is a chance find
_MANY_CUT = 0.2  # of the pictures
_NUM_NAMED = 5  # unreadable files in an error


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How to decode a tree.

    ``image_size`` is the side in pixels, or None for the images' own (see ``Headers.common_side``). ``max_bad``
    is the share of files that may be unreadable, ``white`` the level that is white in those with 16 bits.
    """

    image_size: int | None
    max_bad: float
    progress: Progress
    white: int = FULL


@dataclass(frozen=True, kw_only=True, eq=False)
class Headers:
    """What the headers of N files say: shorter ``sides`` and ``lengths`` (N,) in pixels, which are ``grey`` (N,).

    The side of a file without a header is 0; such a file makes nothing of the rest coloured.
    """

    sides: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    grey: npt.NDArray[np.bool_]

    @property
    def common_side(self) -> int:
        """The side to read all files at, unless told: the one that is common, or else the median.

        Of equally common ones it is the smaller; it lies within what a study may ask for.
        """
        known = self.sides[self.sides > 0]
        sides, counts = np.unique(known, return_counts=True)
        common = counts.max() >= _COMMON * len(known)
        side = int(sides[counts.argmax()] if common else np.median(known))
        return min(max(side, SMALLEST_IMAGE), LARGEST_IMAGE)

    def describe(self, size: int) -> tuple[str, ...]:
        """What a person should know of files that are read as squares of ``size`` pixels a side."""
        known = self.sides > 0
        sides, lengths = self.sides[known], self.lengths[known]
        notes = []
        if sides.min() < sides.max() or not SMALLEST_IMAGE <= sides.max() <= LARGEST_IMAGE:
            why = f", {self._describe_common()}" if size == self.common_side else ""
            found = (
                f"from {sides.min()} to {sides.max()}" if sides.min() < sides.max() else f"of {sides.max()}"
            )
            notes.append(
                f"shorter sides {found} pixels; "
                f"all are read at {size} x {size}{why} (other sizes with --image-size)"
            )
        cuts = 1 - sides / lengths
        typical, share = float(np.median(cuts)), float(np.mean(cuts > MUCH_CUT))
        if share >= _MANY_CUT:
            much = f"more than {MUCH_CUT:.0%} of {share:.0%} of the pictures"
            lost = f"{typical:.0%} of the typical picture" if typical > MUCH_CUT else much
            notes.append(
                f"the square in the middle is read, without {lost}; "
                "crop the files where what matters lies at an edge"
            )
        return tuple(notes)

    def _describe_common(self) -> str:
        known = self.sides[self.sides > 0]
        share = np.count_nonzero(known == self.common_side) / len(known)
        if share >= _COMMON:
            return f"which {share:.0%} of the files have"
        limits = {SMALLEST_IMAGE: "the fewest that are read", LARGEST_IMAGE: "the most that are read"}
        return limits.get(self.common_side, "their median, as no size is common")

    @property
    def channels(self) -> int:
        """One when all files are grey, else the three of RGB."""
        return 1 if self.grey.all() else 3

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of all ``parts``, one after another."""
        return cls(
            sides=np.concatenate([part.sides for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts]),
            grey=np.concatenate([part.grey for part in parts]),
        )

    def at(self, rows: Rows) -> Headers:
        """Those of the files at ``rows``."""
        return Headers(sides=self.sides[rows], lengths=self.lengths[rows], grey=self.grey[rows])

    def shape(self, image_size: int | None) -> tuple[int, int, int]:
        """(H, W, C) that the images will have when ``image_size`` is asked for."""
        size = image_size or self.common_side
        return size, size, self.channels


@dataclass(frozen=True, kw_only=True)
class DecodingPlan:
    """How a tree will be decoded, known from its ``headers``: as images of ``shape`` (H, W, C), ``white`` being white.

    ``bad`` are files that have no header, by their number among the tree's files.
    """

    shape: tuple[int, int, int]
    headers: Headers
    bad: Mapping[int, BadImage]
    white: int

    @property
    def size(self) -> int:
        """The side of the images in pixels."""
        return self.shape[0]

    @property
    def channels(self) -> int:
        """One or three."""
        return self.shape[2]

    @property
    def common_side(self) -> int:
        """The side that the files are read at unless told."""
        return self.headers.common_side


def plan(tree: ImageTree, decoding: Decoding) -> DecodingPlan:
    """How ``tree`` will be decoded. Raises ``DataError`` when more than ``max_bad`` of its files have no header."""
    headers, bad = read_headers(tree, decoding.progress)
    check_bad(tree, bad.values(), decoding.max_bad)
    shape = headers.shape(decoding.image_size)
    return DecodingPlan(shape=shape, headers=headers, bad=bad, white=decoding.white)


def read_headers(tree: ImageTree, progress: Progress) -> tuple[Headers, dict[int, BadImage]]:
    """The headers of all files of ``tree``, and by their number those that have none."""
    sides, lengths = np.zeros((2, len(tree.files)), dtype=np.int64)
    grey = np.ones(len(tree.files), dtype=np.bool_)
    bad: dict[int, BadImage] = {}
    for index, header in enumerate(_read_all(tree, {}, read_header, progress, "reading image headers")):
        if isinstance(header, BadImage):
            bad[index] = header
        else:
            sides[index], lengths[index], grey[index] = header.side, header.length, header.grey
    return Headers(sides=sides, lengths=lengths, grey=grey), bad


def decode(tree: ImageTree, plan: DecodingPlan, progress: Progress) -> Iterator[Pixels | BadImage]:
    """Each file of ``tree``, in order: its pixels (H, W, C), or why there are none."""

    def read(path: Path) -> Pixels:
        return read_pixels(path, plan.size, plan.channels, white=plan.white)

    # with small images Python's lock is held most of the time: then one thread was 1.2 times as fast as two
    num_threads = 1 if plan.common_side < _SMALL_SIDE else None
    chunk_size = max(1, min(_CHUNK, _CHUNK_BYTES // math.prod(plan.shape)))
    return _read_all(tree, plan.bad, read, progress, "decoding images", num_threads, chunk_size)


def check_bad(tree: ImageTree, bad: Collection[BadImage], max_bad: float) -> None:
    """Raise ``DataError`` when more than a share ``max_bad`` of the files is ``bad``; it names a few."""
    num_files = len(tree.files)
    if len(bad) <= max_bad * num_files and len(bad) < num_files:
        return
    lines = [f"  {image.path} {image.reason}" for image in list(bad)[:_NUM_NAMED]]
    if len(bad) > _NUM_NAMED:
        lines.append(f"  and {len(bad) - _NUM_NAMED} more")
    raise DataError(
        f"{tree.root}: {len(bad)} of {num_files} image files cannot be read, more than the share of "
        f"{max_bad:g} that is skipped; mend or remove them, or raise --max-bad-images:\n" + "\n".join(lines)
    )


def _read_all(
    tree: ImageTree,
    bad: Mapping[int, BadImage],
    read: Callable[[Path], R],
    progress: Progress,
    description: str,
    num_threads: int | None = None,
    chunk_size: int = _CHUNK,
) -> Iterator[R | BadImage]:
    """``read`` each file of ``tree`` but the ``bad`` ones, by all cores unless said otherwise.

    Yields for each of all files, in order, what it gave or why there is nothing.
    """

    def attempt(chunk: range) -> list[R | BadImage]:
        return [
            bad[index] if index in bad else _attempt(tree.root, tree.files[index], read) for index in chunk
        ]

    num_files, num_threads = len(tree.files), num_threads or os.cpu_count() or 1
    chunk_size = min(chunk_size, -(-num_files // num_threads))  # few files keep all threads busy too
    chunks = [range(start, min(start + chunk_size, num_files)) for start in range(0, num_files, chunk_size)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # a damaged file is named in our own words
        results = read_ahead(attempt, chunks, ahead=2 * num_threads, threads=num_threads)
        for chunk, found in zip(chunks, results, strict=True):
            yield from found
            progress(description, chunk.stop, num_files)


def _attempt(root: Path, file: ImageFile, read: Callable[[Path], R]) -> R | BadImage:
    if file.problem:
        return BadImage(path=file.path, reason=file.problem)
    try:
        return read(root / file.path)
    except DataError as error:
        return BadImage(path=file.path, reason=error.message)
