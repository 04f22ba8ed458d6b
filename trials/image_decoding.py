"""Image decoding: all files of an image tree, one after the other, by all cores, naming those that cannot be read.

By threads: Pillow lets go of Python's lock while it decodes a large image, and processes would either
fork a program that runs threads or run a person's unguarded script once more in each of them.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from search_space.errors import DataError
from trials.image_files import read_header, read_pixels
from trials.image_tree import ImageFile, ImageTree
from trials.read_ahead import read_ahead
from trials.sources import Progress
from trials.splits import BadImage, Pixels

R = TypeVar("R")
_CHUNK, _CHUNK_BYTES = 128, 2**20  # most files and pixels that a thread is handed at once
_SMALL_SIDE = 64  # pixels
_NUM_NAMED = 5  # unreadable files in an error


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How to decode a tree.

    ``image_size`` is the side in pixels, or None for the side that most images have (of a rectangle
    its shorter one; the smaller of equally common ones). ``max_bad`` is the share of files that may be
    unreadable.
    """

    image_size: int | None
    max_bad: float
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the headers of a tree's files say before any is decoded.

    Images will be (``size``, ``size``, ``channels``): one channel when all files are grey, else RGB.
    ``common_side`` is the shorter side that most files have. ``bad`` are files that have no header, by their
    number among the tree's files.
    """

    size: int
    channels: int
    common_side: int
    bad: Mapping[int, BadImage]


def plan(tree: ImageTree, decoding: Decoding) -> Plan:
    """How ``tree`` will be decoded. Raises ``DataError`` when more than ``max_bad`` of its files have no header."""
    bad: dict[int, BadImage] = {}
    sides: Counter[int] = Counter()
    all_grey = True
    headers = _read_all(tree, {}, read_header, decoding.progress, "reading image headers")
    for index, header in enumerate(headers):
        if isinstance(header, BadImage):
            bad[index] = header
        else:
            sides[header.side] += 1
            all_grey = all_grey and header.grey
    check_bad(tree, bad.values(), decoding.max_bad)
    common_side = min(sides, key=lambda side: (-sides[side], side))
    return Plan(
        size=decoding.image_size or common_side,
        channels=1 if all_grey else 3,
        common_side=common_side,
        bad=bad,
    )


def decode(tree: ImageTree, plan: Plan, progress: Progress) -> Iterator[Pixels | BadImage]:
    """Each file of ``tree``, in order: its pixels (H, W, C), or why there are none."""

    def read(path: Path) -> Pixels:
        return read_pixels(path, plan.size, plan.channels)

    # with small images Python's lock is held most of the time: then one thread was 1.2 times as fast as two
    num_threads = 1 if plan.common_side < _SMALL_SIDE else None
    chunk_size = max(1, min(_CHUNK, _CHUNK_BYTES // (plan.size**2 * plan.channels)))
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
