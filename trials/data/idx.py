"""idx: the file format of MNIST and its kin (LeCun, "The MNIST database", section "File formats").

Two zero bytes, the type of the values (8: unsigned byte), the number of axes, the length of each
axis as a big-endian 32-bit integer, and then the values in C order.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convscout.search_space.errors import DataError

_UNSIGNED_BYTE = 8


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The bytes of an idx file, packed by gzip or not, in its shape. A damaged one raises ``DataError``."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch the file again") from error
    zero, kind, num_axes = struct.unpack(">HBB", content[:4].ljust(4, b"\xff"))
    start = 4 + 4 * num_axes
    if zero != 0 or kind != _UNSIGNED_BYTE or len(content) < start:
        raise DataError(f"{path}: is not an idx file of unsigned bytes; fetch the file again")
    shape = struct.unpack(f">{num_axes}I", content[4:start])
    num_bytes = len(content) - start
    if num_bytes != math.prod(shape):
        raise DataError(
            f"{path}: holds {num_bytes} bytes where its header says {math.prod(shape)}; fetch the file again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
