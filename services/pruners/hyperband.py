"""Hyperband (Li et al., 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization").

It hedges against halving too early: trials are dealt to brackets, each of which begins to halve a rung later than
the one before. As in the paper every bracket is to cost the same, so the earlier it halves the more trials it
gets. Deviating, a trial's bracket goes by its number, so that nothing has to be remembered.
"""

from __future__ import annotations

import numpy as np

from convscout.services.plugins import pruners
from convscout.services.pruners.asha import Asha
from convscout.services.pruners.curves import Counts, Curve, Rivals

_BRACKETS = np.repeat([0, 1, 2], [9, 5, 3])  # the paper's formula for three brackets and a reduction of 3
_STRIDE = 7  # has no divisor in common with their number, and deals neighbours to different brackets


@pruners.register("hyperband")
class Hyperband:
    """``asha`` within each of three brackets: at both rungs, at the second alone, and at none."""

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        bracket = int(_bracket(np.array(trial.number)))
        return Asha(skipped=bracket).stops(trial, rivals.where(_bracket(rivals.numbers) == bracket))


def _bracket(numbers: Counts) -> Counts:
    return _BRACKETS[numbers * _STRIDE % len(_BRACKETS)]
