"""Archives for tests of uploads: honest ones, and what somebody might try instead."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

PER_CLASS = 12


@cache
def digit_pngs() -> dict[str, bytes]:
    """Files of real digits by their paths: twelve of each of the classes zero, one and two."""
    found = load_digits()
    files = {}
    for label, name in enumerate(("zero", "one", "two")):
        for index in np.flatnonzero(found.target == label)[:PER_CLASS]:
            buffer = io.BytesIO()
            Image.fromarray((found.images[index] * 15).astype(np.uint8)).save(buffer, format="PNG")
            files[f"{name}/{index}.png"] = buffer.getvalue()
    return files


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of ``files``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def digits_zip(**more: bytes) -> bytes:
    """The digits, and ``more`` files."""
    return zipped({**digit_pngs(), **more})


def with_member(info: zipfile.ZipInfo, content: bytes = b"x") -> bytes:
    """The digits, and one member of a kind of its own."""
    buffer = io.BytesIO(digits_zip())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(info, content)
    return buffer.getvalue()


def special(name: str, kind: int) -> bytes:
    """The digits, and a member called ``name`` that says it is no regular file but of ``kind``."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return with_member(info, b"/etc/passwd")


def symlink(name: str) -> bytes:
    """The digits, and a symbolic link."""
    return special(name, stat.S_IFLNK)


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG file of that size, without its pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def overlapping(count: int, size: int) -> bytes:
    """A zip whose ``count`` members are all the same bytes, which unpack to ``size``."""
    body = zlib.compress(bytes(size))[2:-4]
    crc = zlib.crc32(bytes(size))
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(body), size, 7, 0) + b"a/a.png"
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(body), size, 7, 0, 0, 0, 0, 0, 0
    )
    entries = b"".join(entry + b"a/a.png" for _ in range(count))
    end = struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(entries), len(local + body), 0
    )
    return local + body + entries + end


def lying(content: bytes, name: str, size: int) -> bytes:
    """The zip ``content``, in which the member ``name`` is said to have ``size`` bytes unpacked."""
    raw = bytearray(content)
    entry = raw.index(name.encode(), raw.index(b"PK\1\2")) - 46
    struct.pack_into("<L", raw, entry + 24, size)
    return bytes(raw)


def npz(compressed: bool = False, **arrays: npt.NDArray[Any]) -> bytes:
    """An npz file."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def digits_npz(**changes: npt.NDArray[Any]) -> bytes:
    """The digits as arrays."""
    found = load_digits()
    images = (found.images * 15).astype(np.uint8)
    return npz(**({"images": images, "labels": found.target.astype(np.int64)} | changes))


def listing(folder: Path) -> list[str]:
    """Every path under ``folder``, for a look at what was left there."""
    # unlike rglob, walk does not mind when somebody removes what it is about to list
    found = (Path(at, name) for at, folders, files in os.walk(folder) for name in (*folders, *files))
    return sorted(str(path.relative_to(folder)) for path in found)
