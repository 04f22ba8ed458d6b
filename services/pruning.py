"""Pruning: which trials stop before their last epoch. The interface of a pruner, and the registry of all.

A pruner is a pure function of the curves in the ledger: it remembers nothing, so a resumed study stops what an
uninterrupted one would. Optuna's pruners are not used: they refuse several objectives, and all families are one
to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from search_space.registry import Registry
from services.curves import Curve, Rivals


class Pruner(Protocol):
    """One rule of early stopping. It is asked after each epoch of a trial but the last."""

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        """Whether ``trial``, which has trained at least once, should end here.

        With no ``rivals`` it says whether the trial should end whatever the others do. Failed trials are no rivals.
        A trial is compared at the share of its epochs that it has trained, as lengths may differ.
        """
        ...


pruners: Registry[Callable[[], Pruner]] = Registry(
    "pruner", package="services.pruners", group="convscout.pruners"
)
"""Pruners, one file each; a file registers itself with ``@pruners.register(NAME)``."""
