"""The Wilcoxon signed-rank test of a trial against the best one, as in Optuna's ``WilcoxonPruner``.

It fits where a trial has many noisy values to compare, here those of its epochs. Epochs of one trial are not
independent, so its error rate is not the nominal one, and it needs longer trials than the other rules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convscout.services.plugins import pruners
from convscout.services.pruners.curves import Curve, Floats, Rivals

FEWEST_PAIRS, MOST_PAIRS = 6, 40  # epochs that are compared: so many at least, and the latest of more


@pruners.register("wilcoxon")
@dataclass(frozen=True)
class Wilcoxon:
    """Stops a trial that is behind the best one, epoch by epoch, at that ``level`` of significance.

    The best has the highest value yet, of equals the first. Where it was no better itself after as many epochs,
    it stops nobody.
    """

    level: float = 0.05

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        if not (best := rivals.leader):
            return False
        pairs = list(zip(trial.values, best.values, strict=False))
        if len(pairs) < FEWEST_PAIRS or trial.best >= max(theirs for _, theirs in pairs):
            return False
        differences = np.array([own - theirs for own, theirs in pairs[-MOST_PAIRS:]])
        return _chance_of_as_low(differences) < self.level


def _chance_of_as_low(differences: Floats) -> float:
    """How likely the ranks of the positive ``differences`` sum to as little, were all signs drawn by lot.

    Exact (Wilcoxon, 1945); zeros are left out, and equals share the mean of their ranks. SciPy's takes seconds
    where some are equal.
    """
    moved = differences[differences != 0]
    _, place, equals = np.unique(np.abs(moved), return_inverse=True, return_counts=True)
    ranks = (2 * np.cumsum(equals) - equals + 1)[place]  # twice the mean, which is whole
    chance = np.zeros(ranks.sum() + 1)  # of each sum
    chance[0] = 1.0
    for rank in ranks:
        chance /= 2
        chance[rank:] += chance[:-rank].copy()
    return float(chance[: ranks[moved > 0].sum() + 1].sum())
