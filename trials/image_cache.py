"""Image cache: a tree of image files is decoded once and kept for the next run.

What is kept counts as current while every file's relative path, size and modification time, the
wanted image size and the decoder are the same. Reading every file's contents instead would cost
nearly as much as decoding small images anew. A file that changes and keeps its size and its time to
the nanosecond goes unnoticed until the cache is removed.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np

from search_space.errors import ConvscoutError
from trials.checkpoint import atomic_write
from trials.image_decoding import DecodedImages, Decoding, check_bad, decode
from trials.image_files import DECODER_VERSION
from trials.image_tree import ImageTree
from trials.splits import BadImage


def decoded(tree: ImageTree, decoding: Decoding, cache: Path) -> DecodedImages:
    """The pixels of ``tree``, from ``cache`` if they are there and whole, else decoded and put there.

    Raises ``DataError`` as ``decode`` does.
    """
    key = _key(tree, decoding.image_size)
    path = cache / _file_name(tree, decoding.image_size)
    images = _read(path, key)
    if images is None:
        images = decode(tree, decoding)
        _write(path, key, images)
    check_bad(tree, images.bad, decoding.max_bad)  # those kept may have been read with a larger share
    return images


def _key(tree: ImageTree, image_size: int | None) -> str:
    """SHA-256 (hex) of all that the decoded pixels depend on."""
    digest = hashlib.sha256(f"{DECODER_VERSION} {image_size}\n".encode())
    for file in tree.files:
        digest.update(os.fsencode(file.path) + f"\0{file.size} {file.mtime_ns}\n".encode())
    return digest.hexdigest()


def _file_name(tree: ImageTree, image_size: int | None) -> str:
    """One for each directory and size, so that a changed directory replaces what was kept of it."""
    place = os.fsencode(tree.root.resolve()) + f"\0{image_size}".encode()
    return f"folder-{hashlib.sha256(place).hexdigest()[:16]}.npz"


def _read(path: Path, key: str) -> DecodedImages | None:
    """What is kept at ``path``, or None when it is not there, damaged, or not of ``key``.

    Reading verifies the checksum that the zip format has for each array.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if str(kept["key"]) != key:
                return None
            bad = zip(kept["bad_paths"].tolist(), kept["bad_reasons"].tolist(), strict=True)
            return DecodedImages(
                images=kept["images"],
                readable=kept["readable"],
                bad=tuple(BadImage(path=name, reason=reason) for name, reason in bad),
            )
    except Exception:  # damage may show anywhere in zip or array; whatever it is, decoding anew mends it
        return None


def _write(path: Path, key: str, images: DecodedImages) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        key=np.array(key),
        images=images.images,
        readable=images.readable,
        bad_paths=np.array([bad.path for bad in images.bad], dtype=np.str_),
        bad_reasons=np.array([bad.reason for bad in images.bad], dtype=np.str_),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, buffer.getvalue())
    except OSError as error:
        raise ConvscoutError(
            f"cannot keep decoded images in {path.parent}: {error.strerror}; make room or change --home"
        ) from error
