"""Files with 16 bits a level, which Pillow writes of grey alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

_KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG's colour type by the number of channels


def deep_png(levels: npt.NDArray[np.uint16]) -> bytes:
    """A PNG file of ``levels`` (H, W) or (H, W, C), with opacity where C is 2 or 4."""
    height, width = levels.shape[:2]
    kind = _KINDS[levels.shape[2] if levels.ndim == 3 else 1]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(rows), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, body) for name, body in chunks.items())


def png_chunk(name: bytes, body: bytes) -> bytes:
    """A part of a PNG file, which begins after its 33rd byte at the earliest."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def deep_tiff(levels: npt.NDArray[np.uint16], order: str = "<") -> bytes:
    """A TIFF file of RGB ``levels`` (H, W, 3), a strip a row, in the byte ``order`` of struct."""
    height, width, _ = levels.shape
    fields = {  # by tag: struct's letter for the type, and the values
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", [16, 16, 16]),  # bits
        259: ("H", [1]),  # not compressed
        262: ("H", [2]),  # RGB
        273: ("I", [0] * height),  # where strips lie, below
        277: ("H", [3]),
        278: ("H", [1]),  # rows a strip
        279: ("I", [6 * width] * height),
    }
    start = 8 + 2 + 12 * len(fields) + 4  # of what does not fit into the directory
    sizes = {tag: struct.calcsize(f"{len(values)}{letter}") for tag, (letter, values) in fields.items()}
    pixels = start + sum(size for size in sizes.values() if size > 4)
    fields[273] = ("I", [pixels + 6 * width * row for row in range(height)])
    directory, values_after = struct.pack(f"{order}H", len(fields)), b""
    for tag, (letter, values) in fields.items():
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        directory += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[letter], len(values))
        if len(packed) > 4:
            directory += struct.pack(f"{order}I", start + len(values_after))
            values_after += packed
        else:
            directory += packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + directory + bytes(4) + values_after + levels.astype(f"{order}u2").tobytes()
