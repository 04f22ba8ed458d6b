"""Asynchronous successive halving (Li et al., 2020, "A System for Massively Parallel Hyperparameter Tuning").

The paper promotes a paused trial once it is among the best of its rung. Here, as in Ray Tune, a trial goes on
or stops when it comes to a rung, so that no worker waits and no checkpoint is loaded. Early arrivals are judged
by few and mostly go on; they are not judged again by those who come later, as most of their cost is spent then.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np

from convscout.services.plugins import pruners
from convscout.services.pruners.curves import Counts, Curve, Floats, Rivals

REDUCTION = 3
COMPETITORS = 4  # fewer say little: of two, the one that is slower to warm up would end


@pruners.register("asha")
@dataclass(frozen=True)
class Asha:
    """Keeps the better third of those that came to a rung: after a ninth of a full trial, and thrice as much.

    Not after the first epoch, which warms the learning rate up and ranks shallow nets above the deep ones
    that overtake them; and not later, because most of the cost would be spent already. Everyone passes the
    first ``skipped`` rungs.
    """

    skipped: int = 0

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        trained, length = len(trial.values), np.array(trial.epochs)
        rung = next(each for each in count(self.skipped) if _epochs_to(each, length) >= trained)
        if _epochs_to(rung, length) > trained:
            return False
        return _is_behind(trial.best, rivals.at(_epochs_to(rung, rivals.epochs)))


def _epochs_to(rung: int, lengths: Counts) -> Counts:
    """After how many epochs trials of such ``lengths`` come to a ``rung``, the first of which is 0."""
    first = -(-lengths // REDUCTION**2)  # rounded up
    epochs: Counts = np.maximum(first, 2) * REDUCTION**rung
    return epochs


def _is_behind(value: float, others: Floats) -> bool:
    """Whether ``value`` is not in the better third of itself and ``others`` (N,), NaN for who has not come yet."""
    competitors = 1 + int(np.count_nonzero(~np.isnan(others)))
    better = int(np.count_nonzero(others > value))
    return competitors >= COMPETITORS and better >= max(1, competitors // REDUCTION)
