"""Asynchronous successive halving (Li et al., 2020, "A System for Massively Parallel Hyperparameter Tuning")."""

from __future__ import annotations

from math import ceil

from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.study import Study
from optuna.trial import FrozenTrial

from services.pruning import pruners

REDUCTION = 3
COMPETITORS = 4


@pruners.register("asha")
def asha(epochs: int) -> BasePruner:
    """Keeps the better third after a ninth and after a third of a full trial.

    Not after the first epoch, which warms the learning rate up and ranks shallow nets above the deep ones
    that overtake them; and not later, because most of the cost would be spent already.
    """
    first = ceil(epochs / REDUCTION**2)
    return _PatientHalving(
        min_resource=first if first > 1 else ceil(epochs / REDUCTION), reduction_factor=REDUCTION
    )


class _PatientHalving(SuccessiveHalvingPruner):
    """Stops nobody at an epoch that fewer than ``COMPETITORS`` trials have seen.

    Optuna's stops the second trial at a rung if it is behind the first, which in a short search ends half
    the portfolio for being slower to warm up.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        behind = super().prune(study, trial)
        step = trial.last_step
        seen = sum(step in other.intermediate_values for other in study.get_trials(deepcopy=False))
        return behind and seen >= COMPETITORS
