"""Image cache: a tree of image files, or a part of it, is decoded once into one file, from which its pixels are mapped.

What is kept counts as current while every file's relative path, size and modification time, the
wanted image size, what is white and the decoder are the same. Reading every file's contents instead would cost
nearly as much as decoding small images anew. A file that changes and keeps its size and its time to
the nanosecond goes unnoticed until the cache is removed. A part is taken out of the whole tree where that is
kept and the headers of the part's files ask for the same size and channels: where the pixels come from never shows.

The file is an npz archive: ``images`` (N, H, W, C) with a row for each of the tree's N files, ``readable`` (N,),
which says of which rows the file could be decoded (the others are zero), the ``sides``, ``lengths`` and ``grey``
(N,) of the headers, the paths of the unreadable files and why, and the key of all that. It is written under
another name, an image at a time, so that the pixels never have to fit into memory, and renamed when it is whole;
each array has a checksum. Of several processes that want the same tree one decodes it and the others wait.
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
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convscout.search_space.errors import ConvscoutError, DataError
from convscout.trials.checkpoints.durable_files import Durability, placing
from convscout.trials.data.division import Rows
from convscout.trials.data.image_decoding import Decoding, DecodingPlan, Headers, check_bad, decode, plan
from convscout.trials.data.image_files import DECODER_VERSION
from convscout.trials.data.image_tree import ImageTree
from convscout.trials.data.mapped_images import ARRAY, KEY, PixelFile
from convscout.trials.data.sources import Progress
from convscout.trials.data.splits import BadImage

_LAYOUT = 4  # of the file; raise it when it changes
_BLOCK_BYTES = 2**20  # read at once to verify a checksum


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImages:
    """N decoded files: the n-th is at ``rows[n]`` of ``file``, if it is ``readable[n]``, and had ``headers[n]``.

    ``bad`` are the files that could not be read.
    """

    file: PixelFile
    rows: Rows
    readable: npt.NDArray[np.bool_]
    headers: Headers
    bad: tuple[BadImage, ...]

    def only(self, rows: Rows, tree: ImageTree) -> DecodedImages:
        """The files at ``rows`` alone, which are those of ``tree``."""
        paths = {file.path for file in tree.files}
        return DecodedImages(
            file=self.file,
            rows=self.rows[rows],
            readable=self.readable[rows],
            headers=self.headers.at(rows),
            bad=tuple(image for image in self.bad if image.path in paths),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Which files of ``tree`` are wanted: those of the numbers ``chosen``, in order, which are ``share`` of them."""

    tree: ImageTree
    chosen: Rows
    share: float

    @cached_property
    def files(self) -> ImageTree:
        """The tree without the other files."""
        return self.tree.only(self.chosen)


def load_decoded(part: Part, decoding: Decoding, cache: Path) -> DecodedImages:
    """The pixels of ``part``, in a file in ``cache``, where they are kept for the next time.

    Raises ``DataError`` when more than ``max_bad`` of the files cannot be read or when the pixels will not fit
    on the disk.
    """
    images = _load_kept(part, decoding, cache)
    if images is None:
        path = cache / _file_name(part.tree.root, decoding.image_size, part.share)
        with _write_to(cache), _alone(path, decoding.progress):
            images = _load_kept(part, decoding, cache) or _decode(part.files, decoding, path)
    check_bad(part.files, images.bad, decoding.max_bad)  # those kept may have been read with a larger share
    return images


def is_kept(tree: ImageTree, decoding: Decoding, cache: Path) -> bool:
    """Whether all of ``tree`` is kept and current; not looked through for damage."""
    path = cache / _file_name(tree.root, decoding.image_size, 1.0)
    return path.exists() and _open(path, _key(tree, decoding)) is not None


def forget(root: Path, cache: Path) -> None:
    """Remove what is kept in ``cache`` of the directory ``root``, which need not exist any more."""
    for path in cache.glob(f"{_place(root)}-*"):
        path.unlink(missing_ok=True)


def _load_kept(part: Part, decoding: Decoding, cache: Path) -> DecodedImages | None:
    """What is kept of ``part`` as ``decoding`` wants it: for itself or in the whole tree, by size or unasked."""
    for image_size, share in dict.fromkeys(product((decoding.image_size, None), (part.share, 1.0))):
        path = cache / _file_name(part.tree.root, image_size, share)
        kept = replace(decoding, image_size=image_size)
        if path.exists() and (images := _take(part, path, kept, share)):
            fits = images.headers.shape(decoding.image_size) == images.file.shape[1:]
            if fits and _undamaged(path, images.file.shape[0], decoding.progress):
                return images
    return None


def _take(part: Part, path: Path, decoding: Decoding, share: float) -> DecodedImages | None:
    """``part`` out of the file at ``path``, which should have ``share`` of its tree."""
    if share == part.share:
        return _open(path, _key(part.files, decoding))
    whole = _open(path, _key(part.tree, decoding))
    images = whole and whole.only(part.chosen, part.files)
    return images if images and images.headers.sides.any() else None  # else nothing says how it is decoded


def _key(tree: ImageTree, decoding: Decoding) -> str:
    """SHA-256 (hex) of all that the decoded pixels depend on."""
    how = f"{_LAYOUT} {DECODER_VERSION} {decoding.image_size} {decoding.white}\n"
    digest = hashlib.sha256(how.encode())
    for file in tree.files:
        digest.update(os.fsencode(file.path) + f"\0{file.size} {file.mtime_ns}\n".encode())
    return digest.hexdigest()


def _file_name(root: Path, image_size: int | None, share: float) -> str:
    """One for each directory, size and share, so that a changed directory replaces what was kept of it."""
    return f"{_place(root)}-{image_size or 'own'}-{share!r}.npz"


def _place(root: Path) -> str:
    return f"folder-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}"


def _open(path: Path, key: str) -> DecodedImages | None:
    """What is kept at ``path``, or None when it is not of ``key``, or damaged but for its pixels."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if str(kept[KEY]) != key:
                return None
            bad = zip(kept["bad_paths"].tolist(), kept["bad_reasons"].tolist(), strict=True)
            return DecodedImages(
                file=PixelFile(path, key),
                rows=np.arange(len(kept["readable"])),
                readable=kept["readable"],
                headers=Headers(sides=kept["sides"], lengths=kept["lengths"], grey=kept["grey"]),
                bad=tuple(BadImage(path=name, reason=reason) for name, reason in bad),
            )
    except Exception:  # damage may show anywhere in zip or array; whatever it is, decoding anew mends it
        return None


def _undamaged(path: Path, num_images: int, progress: Progress) -> bool:
    try:
        _verify(path, num_images, progress)
    except Exception:  # as above
        return False
    return True


def _verify(path: Path, num_images: int, progress: Progress) -> None:
    """Read the pixels to their end, where the zip format has their checksum; numpy does so for small arrays."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{ARRAY}.npy") as member:
        size, done = archive.getinfo(member.name).file_size, 0
        while block := member.read(_BLOCK_BYTES):
            done += len(block)
            progress("checking decoded images", num_images * done // size, num_images)


def _decode(tree: ImageTree, decoding: Decoding, path: Path) -> DecodedImages:
    """Decode ``tree`` into a new file at ``path``."""
    key, planned = _key(tree, decoding), plan(tree, decoding)
    temporary = path.with_name(f".{path.name}.tmp")
    with placing(path, Durability.FLUSHED, temporary=temporary), temporary.open("wb") as file:
        # the file is without what a killed process may have left there
        _require_space(tree, planned, path.parent)
        with zipfile.ZipFile(file, "w") as archive:
            readable, bad = _write_pixels(archive, tree, planned, decoding.progress)
            _write_array(archive, "readable", readable)
            _write_array(archive, "sides", planned.headers.sides)
            _write_array(archive, "lengths", planned.headers.lengths)
            _write_array(archive, "grey", planned.headers.grey)
            _write_array(archive, "bad_paths", np.array([image.path for image in bad], dtype=np.str_))
            _write_array(archive, "bad_reasons", np.array([image.reason for image in bad], dtype=np.str_))
            _write_array(archive, KEY, np.array(key))
    return DecodedImages(
        file=PixelFile(path, key),
        rows=np.arange(len(readable)),
        readable=readable,
        headers=planned.headers,
        bad=bad,
    )


def _write_pixels(
    archive: zipfile.ZipFile, tree: ImageTree, planned: DecodingPlan, progress: Progress
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


def _shape(tree: ImageTree, planned: DecodingPlan) -> tuple[int, int, int, int]:
    return len(tree.files), *planned.shape


def _require_space(tree: ImageTree, planned: DecodingPlan, folder: Path) -> None:
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
def _write_to(folder: Path) -> Iterator[None]:
    """``folder``, made if need be; when it cannot be written to, the error says what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConvscoutError(
            f"cannot keep decoded images in {folder}: {error.strerror}; make room or change --home"
        ) from error
