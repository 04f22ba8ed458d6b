"""No early stopping."""

from __future__ import annotations

from optuna.pruners import BasePruner, NopPruner

from services.pruning import pruners


@pruners.register("none")
def none(epochs: int) -> BasePruner:
    """Every trial trains all its ``epochs``."""
    return NopPruner()
