"""The median stopping rule (Golovin et al., 2017, section 3.2.2)."""

from __future__ import annotations

from optuna.pruners import BasePruner, MedianPruner

from services.pruning import pruners


@pruners.register("median")
def median(epochs: int) -> BasePruner:
    """Stops a trial whose best epoch so far is below the median of its predecessors at the same epoch."""
    return MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 4))
