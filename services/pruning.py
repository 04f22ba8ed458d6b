"""The registry of pruners: which trials stop before their last epoch."""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import BasePruner

from search_space.registry import Registry

# A factory takes the number of epochs of a full trial.
PrunerFactory = Callable[[int], BasePruner]

pruners: Registry[PrunerFactory] = Registry("pruner", package="services.pruners", group="convscout.pruners")
