"""Curves: what trials have shown so far, an epoch at a time, and the same in columns, to compare thousands at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int_]
Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one trial has shown so far.

    ``values`` are those of its first epochs, of which more is better; ``epochs`` is how many it trains in all.
    ``costs`` were known before it began, and less of them is better. ``running`` says that more may follow. Those of
    another ``phase`` are no rivals, as they train for longer and on more images, or for less.
    """

    number: int
    family: str
    epochs: int
    values: tuple[float, ...]
    costs: tuple[float, ...] = ()
    running: bool = True
    phase: str = ""

    @property
    def best(self) -> float:
        """Its best value so far."""
        return max(self.values)


class Curves:
    """The curves of a study by number: a row a trial, whose best values so far are kept by epoch."""

    def __init__(self, curves: Iterable[Curve] = ()) -> None:
        self._curves: dict[int, Curve] = {}
        self._families: dict[str, int] = {}
        self._phases: dict[str, int] = {}
        self.best: Floats = np.empty((0, 1))  # (trials, epochs); after its last epoch a trial's best stays
        self.trained = np.empty(0, int)  # epochs so far; 0 where a number has no curve
        self.epochs = np.empty(0, int)
        self.family = np.empty(0, int)
        self.running = np.empty(0, bool)
        self.phase = np.empty(0, int)
        self.costs: Floats = np.empty((0, 0))
        for curve in curves:
            self.put(curve)

    def get(self, number: int) -> Curve | None:
        """The curve of that number, if there is one."""
        return self._curves.get(number)

    def set(self, number: int, curve: Curve | None) -> None:
        """``curve`` is now that of trial ``number``, or it has none."""
        if curve is not None:
            self.put(curve)
        elif self._curves.pop(number, None):
            self.trained[number] = 0

    def put(self, curve: Curve) -> None:
        """Add a curve, or replace the one of that number."""
        row = curve.number
        self._make_room(row + 1, len(curve.values), len(curve.costs))
        self._curves[row] = curve
        if curve.values:
            trained = len(curve.values)
            self.best[row, :trained] = np.maximum.accumulate(curve.values)
            self.best[row, trained:] = curve.best
        self.trained[row], self.epochs[row] = len(curve.values), curve.epochs
        self.family[row] = self.code(curve.family)
        self.running[row] = curve.running
        self.phase[row] = self._phases.setdefault(curve.phase, len(self._phases))
        self.costs[row] = curve.costs

    def code(self, family: str) -> int:
        """The number that stands for ``family`` in the column."""
        return self._families.setdefault(family, len(self._families))

    def rivals(self, number: int) -> Rivals:
        """Every other trial of its phase that has trained at all."""
        rows = np.flatnonzero((self.trained > 0) & (self.phase == self.phase[number]))
        return Rivals(self, rows[rows != number])

    def _make_room(self, rows: int, epochs: int, costs: int) -> None:
        """At least so many of each; what is made is twice what is needed, so that it is seldom done."""
        known, width = self.best.shape
        if rows > known or epochs > width or costs > self.costs.shape[1]:
            more = 2 * rows - known if rows > known else 0
            wider = 2 * epochs - width if epochs > width else 0
            self.best = np.pad(self.best, ((0, more), (0, wider)), mode="edge" if known else "empty")
            self.trained, self.epochs, self.family, self.running, self.phase = (
                np.pad(column, (0, more))
                for column in (self.trained, self.epochs, self.family, self.running, self.phase)
            )
            self.costs = np.pad(self.costs, ((0, more), (0, max(0, costs - self.costs.shape[1]))))


@dataclass(frozen=True, eq=False)
class Rivals:
    """The other curves, one a row, as a pruner sees them."""

    curves: Curves
    numbers: Counts  # (N,)

    def __len__(self) -> int:
        return len(self.numbers)

    def where(self, chosen: Flags) -> Rivals:
        """Those for which ``chosen`` (N,) holds."""
        return Rivals(self.curves, self.numbers[chosen])

    def of_family(self, family: str) -> Rivals:
        """Those of ``family``."""
        return self.where(self.curves.family[self.numbers] == self.curves.code(family))

    @property
    def nobody(self) -> Rivals:
        """None of them."""
        return Rivals(self.curves, self.numbers[:0])

    @property
    def leader(self) -> Curve | None:
        """The one with the highest value so far, of equals the one that began first; None of nobody."""
        return self.curves.get(int(self.numbers[np.argmax(self.best)])) if len(self) else None

    @property
    def epochs(self) -> Counts:
        """How many epochs they train in all (N,)."""
        return self.curves.epochs[self.numbers]

    def at(self, epochs: Counts) -> Floats:
        """Their best values (N,) after so many ``epochs`` (N,); NaN where one has not come so far."""
        return np.where(epochs <= self.curves.trained[self.numbers], self._best(epochs), np.nan)

    def at_or_ended(self, epochs: Counts) -> Floats:
        """As ``at``, but one that ended before keeps the best that it had."""
        come = (epochs <= self.curves.trained[self.numbers]) | ~self.curves.running[self.numbers]
        return np.where(come, self._best(epochs), np.nan)

    def as_far_as(self, trial: Curve) -> Counts:
        """After how many epochs (N,) they had trained the same share of theirs as ``trial`` has now."""
        epochs: Counts = -(-self.epochs * len(trial.values) // trial.epochs)  # rounded up
        return epochs

    @property
    def best(self) -> Floats:
        """Their best values so far (N,)."""
        return np.asarray(self.curves.best[self.numbers, -1])

    @property
    def costs(self) -> Floats:
        """What they cost (N, C)."""
        return self.curves.costs[self.numbers]

    def _best(self, epochs: Counts) -> Floats:
        last = self.curves.best.shape[1] - 1
        return np.asarray(self.curves.best[self.numbers, np.clip(epochs - 1, 0, last)])
