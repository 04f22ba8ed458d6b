"""White: the level that is white where whole numbers use only a part of what their type can hold.

Cameras store 12 bits in 16, and arrays black and white as 0 and 1; taken as they are, all of that is black. Which level
is white is decided once for all images, never for one by itself, so that brightness keeps its meaning, and an exported
network reads what it is asked about in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convscout.search_space.errors import DataError
from convscout.trials.data.mapped_images import Pixels

FULL = 65535  # white of 16 bits, where nothing else is known
BYTE = 255  # the same of 8 bits
FEW = 16  # levels at most that are told apart only if they are spread
_DARK_BITS = 12  # of 16: no more than 16 of the 256 levels that a network sees

LevelArray = npt.NDArray[Any]


def white_of(top: int) -> int:
    """The level that is white in images whose highest one is ``top``: of few levels that, or else of all their bits."""
    if 0 < top <= FEW:
        return top
    bits = max(8, top.bit_length())
    return (1 << bits) - 1 if top and bits <= _DARK_BITS else FULL


def describe_white(what: str, top: int, white: int) -> str:
    """A sentence for a person on images whose highest level is ``top``, where ``white`` is none of the usual ones."""
    why = "so" if white == white_of(top) else "but, as the network learnt,"
    return f"{what} go up to {top}, {why} {white} is read as white"


def to_bytes(levels: LevelArray, white: int) -> Pixels:
    """``levels`` from 0 to ``white`` as bytes, of which 255 is white; those of full range keep their high byte."""
    if white == FULL:
        return (levels >> 8).astype(np.uint8)
    table: Pixels = np.rint(np.arange(white + 1) * (BYTE / white)).astype(np.uint8)
    return np.take(table, levels)


def read_deep(levels: LevelArray, white: int) -> Pixels:
    """Levels of 16 bits as bytes. Raises ``DataError`` for those that 16 bits do not hold, and for some above white."""
    low, high = int(levels.min()), int(levels.max())
    if low < 0 or high > FULL:
        raise DataError(
            f"has levels in [{low}, {high}], but they must lie in [0, {FULL}]; save it with 8 or 16 bits"
        )
    if high > white:
        raise DataError(
            f"has 16-bit levels up to {high}, but {white} is white in the images that the network learns from; "
            f"save it with 8 bits, or with levels up to {white}"
        )
    return to_bytes(levels, white)


def spread_few(pixels: Pixels, white: int) -> Pixels:
    """A picture of 8 bits; spread where ``white`` is one of few levels and none of the picture's is higher.

    One with higher levels says by them that 255 is its white.
    """
    return to_bytes(pixels, white) if white <= FEW and pixels.max() <= white else pixels
