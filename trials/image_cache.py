"""Image cache: a tree of image files is decoded once into one file, from which its pixels are mapped.

What is kept counts as current while every file's relative path, size and modification time, the
wanted image size and the decoder are the same. Reading every file's contents instead would cost
nearly as much as decoding small images anew. A file that changes and keeps its size and its time to
the nanosecond goes unnoticed until the cache is removed.

The file is an npz archive: ``images`` (N, H, W, C) with a row for each of the tree's N files, ``readable`` (N,),
which says of which rows the file could be decoded (the others are zero), the paths of the others and why,
and the key of all that. It is written under another name, an image at a time, so that the pixels
never have to fit into memory, and renamed when it is whole; each array has a checksum. Of several processes that
want the same tree one decodes it and the others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from search_space.errors import ConvscoutError, DataError
from trials.image_decoding import Decoding, Plan, check_bad, decode, plan
from trials.image_files import DECODER_VERSION
from trials.image_tree import ImageTree
from trials.mapped_images import ARRAY, KEY, PixelFile
from trials.sources import LARGEST_IMAGE, SMALLEST_IMAGE, Progress
from trials.splits import BadImage

_LAYOUT = 2  # of the file; raise it when it changes
_BLOCK_BYTES = 2**20  # read at once to verify a checksum


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImages:
    """A decoded tree: ``file`` has a row for each of its N files, ``readable`` (N,) says which hold an image.

    ``bad`` are the files that could not be read.
    """

    file: PixelFile
    readable: npt.NDArray[np.bool_]
    bad: tuple[BadImage, ...]


def decoded(tree: ImageTree, decoding: Decoding, cache: Path) -> DecodedImages:
    """The pixels of ``tree``, in a file in ``cache``, where they are kept for the next time.

    Raises ``DataError`` when more than ``max_bad`` of the files cannot be read or when the pixels will not fit
    on the disk.
    """
    key = _key(tree, decoding.image_size)
    path = cache / _file_name(tree.root, decoding.image_size)
    images = _read(path, key, decoding.progress)
    if images is None:
        with _written_to(cache), _alone(path, decoding.progress):
            images = _read(path, key, decoding.progress) or _decode(tree, decoding, path, key)
    check_bad(tree, images.bad, decoding.max_bad)  # those kept may have been read with a larger share
    return images


def forget(root: Path, cache: Path) -> None:
    """Remove what is kept in ``cache`` of the directory ``root``, which need not exist any more."""
    for image_size in (None, *range(SMALLEST_IMAGE, LARGEST_IMAGE + 1)):
        path = cache / _file_name(root, image_size)
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)


def _key(tree: ImageTree, image_size: int | None) -> str:
    """SHA-256 (hex) of all that the decoded pixels depend on."""
    digest = hashlib.sha256(f"{_LAYOUT} {DECODER_VERSION} {image_size}\n".encode())
    for file in tree.files:
        digest.update(os.fsencode(file.path) + f"\0{file.size} {file.mtime_ns}\n".encode())
    return digest.hexdigest()


def _file_name(root: Path, image_size: int | None) -> str:
    """One for each directory and size, so that a changed directory replaces what was kept of it."""
    place = os.fsencode(root.resolve()) + f"\0{image_size}".encode()
    return f"folder-{hashlib.sha256(place).hexdigest()[:16]}.npz"


def _read(path: Path, key: str, progress: Progress) -> DecodedImages | None:
    """What is kept at ``path``, or None when it is not there, damaged, or not of ``key``."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if str(kept[KEY]) != key:
                return None
            readable = kept["readable"]
            bad = zip(kept["bad_paths"].tolist(), kept["bad_reasons"].tolist(), strict=True)
            unreadable = tuple(BadImage(path=name, reason=reason) for name, reason in bad)
        _verify(path, len(readable), progress)
        return DecodedImages(file=PixelFile(path, key), readable=readable, bad=unreadable)
    except Exception:  # damage may show anywhere in zip or array; whatever it is, decoding anew mends it
        return None


def _verify(path: Path, num_images: int, progress: Progress) -> None:
    """Read the pixels to their end, where the zip format has their checksum; numpy does so for small arrays."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{ARRAY}.npy") as member:
        size, done = archive.getinfo(member.name).file_size, 0
        while block := member.read(_BLOCK_BYTES):
            done += len(block)
            progress("checking decoded images", num_images * done // size, num_images)


def _decode(tree: ImageTree, decoding: Decoding, path: Path, key: str) -> DecodedImages:
    """Decode ``tree`` into a new file at ``path``."""
    planned = plan(tree, decoding)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:  # without what a killed process may have left there
            _require_space(tree, planned, path.parent)
            with zipfile.ZipFile(file, "w") as archive:
                readable, bad = _write_pixels(archive, tree, planned, decoding.progress)
                _write_array(archive, "readable", readable)
                _write_array(archive, "bad_paths", np.array([image.path for image in bad], dtype=np.str_))
                _write_array(archive, "bad_reasons", np.array([image.reason for image in bad], dtype=np.str_))
                _write_array(archive, KEY, np.array(key))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return DecodedImages(file=PixelFile(path, key), readable=readable, bad=bad)


def _write_pixels(
    archive: zipfile.ZipFile, tree: ImageTree, planned: Plan, progress: Progress
) -> tuple[npt.NDArray[np.bool_], tuple[BadImage, ...]]:
    """Decode into ``archive``; returns which files could be (N,), and the others."""
    shape = _shape(tree, planned)
    readable, bad = np.zeros(len(tree.files), dtype=np.bool_), []
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with archive.open(f"{ARRAY}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        blank = np.zeros(shape[1:], dtype=np.uint8)
        for index, pixels in enumerate(decode(tree, planned, progress)):
            if isinstance(pixels, BadImage):
                bad.append(pixels)
                member.write(blank.data)
            else:
                readable[index] = True
                member.write(pixels.data)
    return readable, tuple(bad)


def _write_array(archive: zipfile.ZipFile, name: str, array: npt.NDArray[np.generic]) -> None:
    with archive.open(f"{name}.npy", "w") as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def _shape(tree: ImageTree, planned: Plan) -> tuple[int, int, int, int]:
    return len(tree.files), planned.size, planned.size, planned.channels


def _require_space(tree: ImageTree, planned: Plan, folder: Path) -> None:
    needed, free = math.prod(_shape(tree, planned)), shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{tree.root}: {len(tree.files)} images of {planned.size}x{planned.size} pixels take "
            f"{needed / 1e9:.3g} GB once they are decoded, but {free / 1e9:.3g} GB is free in {folder}; "
            f"make room, choose a smaller --image-size than {planned.size}, or another --home"
        )


@contextmanager
def _alone(path: Path, progress: Progress) -> Iterator[None]:
    """Let no other process decode into ``path`` meanwhile. However this one dies, the system frees the lock."""
    with path.with_suffix(".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that decodes these images", 0, 1)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _written_to(folder: Path) -> Iterator[None]:
    """``folder``, made if need be; when it cannot be written to, the error says what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConvscoutError(
            f"cannot keep decoded images in {folder}: {error.strerror}; make room or change --home"
        ) from error
