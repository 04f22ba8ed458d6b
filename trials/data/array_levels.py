"""ArrayLevels: which level is white in arrays of images, and the bytes that they become by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from convscout.search_space.errors import DataError
from convscout.trials.data.mapped_images import Pixels
from convscout.trials.data.white import BYTE, FEW, FULL, LevelArray, describe_white, to_bytes, white_of

_BLOCK = 1024  # images converted at once


@dataclass(frozen=True, kw_only=True)
class ArrayLevels:
    """What whole numbers mean in the arrays of one archive: the highest is ``top``, and ``white`` is white."""

    top: int
    white: int

    @classmethod
    def of(cls, arrays: Mapping[str, LevelArray], wanted: int | None) -> ArrayLevels:
        """Those of ``arrays`` by name, of which floats have 1 for white; ``wanted`` is what a network has for white.

        Raises ``DataError``, without the path, where no level can be white in all arrays.
        """
        tops = {name: int(array.max(initial=0)) for name, array in arrays.items() if array.dtype.kind in "iu"}
        top = max(tops.values(), default=0)
        for name, own in tops.items():
            if 0 < own <= FEW < top or (top > BYTE and arrays[name].dtype == np.uint8):
                raise DataError(
                    f"{name} has levels up to {own} of type {arrays[name].dtype}, and other images have levels up to "
                    f"{top}, so no level is white in all; bring all to whole numbers in [0, {BYTE}]"
                )
        return cls(top=top, white=_white(top, wanted, all(arrays[name].dtype == np.uint8 for name in tops)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it, unless 255 is white."""
        plain = self.white == FULL and self.top <= BYTE
        return () if plain else (describe_white("whole numbers", self.top, self.white),)

    def pixels(self, levels: LevelArray) -> Pixels:
        """``levels`` (N, H, W, C) of one of the arrays as bytes."""
        if levels.dtype == np.uint8 and self.white == FULL:
            return levels
        result = np.empty(levels.shape, dtype=np.uint8)
        for start in range(0, len(levels), _BLOCK):  # a copy of all as floats could be eight times the result
            result[start : start + _BLOCK] = self._as_bytes(levels[start : start + _BLOCK])
        return result

    def _as_bytes(self, levels: LevelArray) -> LevelArray:
        if levels.dtype.kind == "f":
            return np.rint(levels * np.float32(BYTE))
        return levels if self.white == FULL and self.top <= BYTE else to_bytes(levels, self.white)


def _white(top: int, wanted: int | None, are_bytes: bool) -> int:
    if wanted is not None and top <= wanted < FULL and (wanted <= FEW or not are_bytes):
        return wanted
    return FULL if FEW < top <= BYTE else white_of(top)
