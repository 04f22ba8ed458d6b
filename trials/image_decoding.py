"""Image decoding: all files of an image tree as one array, by all cores, naming those that cannot be read.

By threads: Pillow lets go of Python's lock while it decodes a large image, and processes would either
fork a program that runs threads or run a person's unguarded script once more in each of them.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from search_space.errors import DataError
from trials.image_files import Header, read_header, read_pixels
from trials.image_tree import ImageTree
from trials.memory import require_memory
from trials.splits import BadImage, Pixels

R = TypeVar("R")
_CHUNK = 128  # files handed to a thread at once
_SMALL_SIDE = 64  # pixels
_NUM_NAMED = 5  # unreadable files in an error


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How to decode a tree.

    ``image_size`` is the side in pixels, or None for the side that most images have (of a rectangle
    its shorter one; the smaller of equally common ones). ``max_bad`` is the share of files that may be
    unreadable. ``progress`` is told what is being done, how many files are done and how many there are.
    """

    image_size: int | None
    max_bad: float
    progress: Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImages:
    """The readable files of a tree: ``images`` (M, H, W, C), in the order of the files.

    ``readable`` (N,) says which of all N files those are; ``bad`` are the others.
    """

    images: Pixels
    readable: npt.NDArray[np.bool_]
    bad: tuple[BadImage, ...]


def decode(tree: ImageTree, decoding: Decoding) -> DecodedImages:
    """The pixels of ``tree``: one channel when all its files are grey by their headers, else RGB.

    Raises ``DataError`` when more than ``max_bad`` of the files cannot be read, or when the images
    will not fit into memory.
    """
    bad = {
        i: BadImage(path=file.path, reason=file.problem) for i, file in enumerate(tree.files) if file.problem
    }
    headers = _headers(tree, bad, decoding)
    check_bad(tree, bad.values(), decoding.max_bad)
    images, readable = _pixels(tree, headers, bad, decoding)
    check_bad(tree, bad.values(), decoding.max_bad)
    return DecodedImages(images=images, readable=readable, bad=tuple(bad[index] for index in sorted(bad)))


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


def _headers(tree: ImageTree, bad: dict[int, BadImage], decoding: Decoding) -> dict[int, Header]:
    """The header of each file that has one, by the file's number. Others are added to ``bad``."""
    headers = {}
    untried = [index for index in range(len(tree.files)) if index not in bad]
    for index, header in _read_all(
        tree, untried, read_header, os.cpu_count() or 1, decoding, "reading image headers"
    ):
        if isinstance(header, BadImage):
            bad[index] = header
        else:
            headers[index] = header
    return headers


def _pixels(
    tree: ImageTree, headers: dict[int, Header], bad: dict[int, BadImage], decoding: Decoding
) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """(M, H, W, C) images and (N,) which files they are. Files that break off are added to ``bad``."""
    sides = Counter(header.side for header in headers.values())
    common_side = min(sides, key=lambda side: (-sides[side], side))
    size = decoding.image_size or common_side
    channels = 1 if all(header.grey for header in headers.values()) else 3
    images = _reserved(tree, size, channels)  # (N, H, W, C)
    readable = np.zeros(len(images), dtype=np.bool_)
    # with small images Python's lock is held most of the time: then one thread was 1.2 times as fast as two
    num_threads = 1 if common_side < _SMALL_SIDE else os.cpu_count() or 1

    def read(path: Path) -> Pixels:
        return read_pixels(path, size, channels)

    for index, pixels in _read_all(tree, list(headers), read, num_threads, decoding, "decoding images"):
        if isinstance(pixels, BadImage):
            bad[index] = pixels
        else:
            images[index] = pixels
            readable[index] = True
    return images if readable.all() else images[readable], readable


def _reserved(tree: ImageTree, size: int, channels: int) -> Pixels:
    shape = (len(tree.files), size, size, channels)
    require_memory(
        2 * int(np.prod(shape)),  # once decoded and once in splits
        what=f"{tree.root}: {len(tree.files)} images of {size}x{size} pixels",
        remedy=f"choose a smaller --image-size than {size}",
    )
    return np.empty(shape, dtype=np.uint8)


def _read_all(
    tree: ImageTree,
    indices: Sequence[int],
    read: Callable[[Path], R],
    num_threads: int,
    decoding: Decoding,
    description: str,
) -> Iterator[tuple[int, R | BadImage]]:
    """``read`` each of the files at ``indices``, in order: its index, and what it gave or why not."""

    def attempt(chunk: Sequence[int]) -> list[R | BadImage]:
        return [_attempt(tree, index, read) for index in chunk]

    chunks = [indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK)]
    done = 0
    with ThreadPoolExecutor(num_threads) as pool, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # a damaged file is named in our own words
        for chunk, results in zip(chunks, pool.map(attempt, chunks), strict=True):
            yield from zip(chunk, results, strict=True)
            done += len(chunk)
            decoding.progress(description, done, len(indices))


def _attempt(tree: ImageTree, index: int, read: Callable[[Path], R]) -> R | BadImage:
    path = tree.files[index].path
    try:
        return read(tree.root / path)
    except DataError as error:
        return BadImage(path=path, reason=error.message)
