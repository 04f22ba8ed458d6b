"""Mapped images: pixels that stay in a file and are read when they are asked for.

The file is an uncompressed npz archive, in which the array ``images`` lies in one piece and so can be mapped
into memory. All processes that map it share the system's page cache, which gives way to whatever else
needs memory.
"""

from __future__ import annotations

import math
import mmap
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from convscout.search_space.errors import DataError
from convscout.trials.compute.read_ahead import read_ahead

Pixels: TypeAlias = npt.NDArray[np.uint8]
Index: TypeAlias = npt.NDArray[np.intp]

ARRAY, KEY = "images", "key"  # names in the archive
_BLOCK_BYTES = 8 * 2**20  # read at a time where all images are
_FAULT_BYTES = 64 * 2**10  # that Linux maps around a page that is looked at
_MOST_MAPPED_BYTES = 64 * 2**20  # after which a process lets go of the pages it has looked at
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip's member: lengths of its name and of what follows that


class PixelFile:
    """The array ``images`` (M, H, W, C) uint8 of the npz file at ``path``, mapped.

    ``key`` is the file's text of that name; it tells the file from a later one at the same path. Pickled,
    this is path and key, so that another process maps the same file. Raises ``DataError`` when the file is
    gone or has another key.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._key = key
        try:
            with path.open("rb") as file:
                _check_key(path, file, key)
                self._start, self.shape = _find_array(file)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise _replacement_error(path) from None
        self._pixels = np.frombuffer(self._map, np.uint8, math.prod(self.shape), self._start)
        self._pixels = self._pixels.reshape(self.shape)
        self._image_bytes = math.prod(self.shape[1:])
        self._mapped_bytes = 0

    def __reduce__(self) -> tuple[type[PixelFile], tuple[Path, str]]:
        return PixelFile, (self.path, self._key)

    def read(self, rows: Index, out: Pixels | None = None) -> Pixels:
        """A copy of the images at ``rows`` (N,), in ``out`` (N, H, W, C) if given."""
        out = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8) if out is None else out
        step = _images_per_block(self._image_bytes)
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            self._ask_for(block)
            # with mode="raise", take would go through a buffer
            np.take(self._pixels, block, axis=0, out=out[start : start + step], mode="clip")
            self._let_go(len(block))
        return out

    def _ask_for(self, rows: Index) -> None:
        """Have the disk fetch all ``rows`` at once, instead of some pages at a time when their turn comes."""
        if self._image_bytes < _FAULT_BYTES:
            return  # the pages around one hold others too: asking took twice as long as waiting
        for first in (self._start + rows * self._image_bytes).tolist():
            page = first - first % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, page, first + self._image_bytes - page)

    def _let_go(self, num_images: int) -> None:
        """Unmap pages that were looked at, which would count as this process's memory; the cache keeps them."""
        self._mapped_bytes += num_images * max(self._image_bytes, _FAULT_BYTES)
        if self._mapped_bytes > _MOST_MAPPED_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._mapped_bytes = 0


@dataclass(frozen=True, eq=False)
class MappedImages:
    """The images at ``rows`` (N,) of ``file``: what is needed here of an array (N, H, W, C) uint8.

    Indexing copies; ``at`` does not.
    """

    file: PixelFile
    rows: Index

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: int | np.integer | slice | Index) -> Pixels:
        rows = self.rows[which]
        return self.file.read(rows) if rows.ndim else self.file.read(rows[np.newaxis])[0]

    def __iter__(self) -> Iterator[Pixels]:
        for block in blocks(self):
            yield from block

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""
        return (len(self.rows), *self.file.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels."""
        return math.prod(self.shape)

    def at(self, index: Index) -> MappedImages:
        """The images at ``index``, still in the file."""
        return MappedImages(self.file, self.rows[index])

    def take(self, index: Index, out: Pixels) -> None:
        """Copy the images at ``index`` (n,) into ``out`` (n, H, W, C)."""
        self.file.read(self.rows[index], out)


Images: TypeAlias = Pixels | MappedImages


def blocks(images: Images) -> Iterator[Pixels]:
    """All ``images`` in their order, (n, H, W, C) at a time; where they are mapped, the next n are read meanwhile."""
    step = _images_per_block(math.prod(images.shape[1:]))
    slices = [slice(start, start + step) for start in range(0, len(images), step)]
    if isinstance(images, MappedImages):
        return read_ahead(images.__getitem__, slices, ahead=1)
    return map(images.__getitem__, slices)


def _images_per_block(image_bytes: int) -> int:
    return max(1, _BLOCK_BYTES // max(1, image_bytes))


def _check_key(path: Path, file: BinaryIO, key: str) -> None:
    with np.load(file, allow_pickle=False) as arrays:
        if str(arrays[KEY]) != key:
            raise _replacement_error(path)


def _find_array(file: BinaryIO) -> tuple[int, tuple[int, ...]]:
    """Where in ``file`` the pixels begin, and their shape."""
    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo(f"{ARRAY}.npy").header_offset
    file.seek(member)
    name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    file.seek(name_length + extra_length, 1)
    assert np.lib.format.read_magic(file) == (1, 0)
    shape, _, _ = np.lib.format.read_array_header_1_0(file)
    return file.tell(), shape


def _replacement_error(path: Path) -> DataError:
    return DataError(
        f"{path}: these decoded images were removed or replaced while they were in use, "
        "as happens when files of the dataset change; resume the study, or begin a new one with the changed data"
    )
