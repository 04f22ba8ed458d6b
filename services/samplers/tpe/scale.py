"""Scale: the line on which a sampler sees the values of a numeric knob, evenly spaced."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution, IntDistribution

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Values from ``least`` to ``most``, in steps of ``step`` or, where it is None, any between.

    The coordinate of a value is its logarithm where ``log``, else itself. One in steps owns the cell around it.
    """

    least: float
    most: float
    step: float | None
    log: bool

    @classmethod
    def of(cls, distribution: FloatDistribution | IntDistribution) -> Scale:
        return cls(
            least=distribution.low, most=distribution.high, step=distribution.step, log=distribution.log
        )

    @property
    def low(self) -> float:
        """The coordinate where the line begins."""
        return self._coordinate(self.least - (self.step or 0) / 2)

    @property
    def high(self) -> float:
        """The coordinate where the line ends."""
        return self._coordinate(self.most + (self.step or 0) / 2)

    def coordinates(self, values: Array) -> Array:
        """Where ``values`` lie on the line."""
        return np.log(values) if self.log else values

    def values(self, coordinates: Array) -> Array:
        """The legal values nearest to ``coordinates``."""
        found = np.exp(coordinates) if self.log else coordinates
        if self.step is not None:
            found = self.least + np.round((found - self.least) / self.step) * self.step
        return np.clip(found, self.least, self.most)

    def cells(self, values: Array) -> tuple[Array, Array]:
        """The coordinates between which the cell of each of ``values`` lies."""
        assert self.step is not None
        return self.coordinates(values - self.step / 2), self.coordinates(values + self.step / 2)

    def _coordinate(self, value: float) -> float:
        return math.log(value) if self.log else value
