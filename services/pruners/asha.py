"""Asynchronous successive halving (Li et al., 2020, "A System for Massively Parallel Hyperparameter Tuning")."""

from __future__ import annotations

from optuna.pruners import BasePruner, SuccessiveHalvingPruner

from services.pruning import pruners


@pruners.register("asha")
def asha(epochs: int) -> BasePruner:
    """Keeps the better third at each rung; the first rung comes after an eighth of a full trial.

    Never before the second epoch: the first warms the learning rate up and ranks shallow nets above the
    deep ones that overtake them.
    """
    return SuccessiveHalvingPruner(min_resource=min(epochs, max(2, epochs // 8)), reduction_factor=3)
