"""Pruning: which trials stop before their last epoch. The interface of a pruner, and the registry of all.

A pruner is a pure function of the curves in the ledger: it remembers nothing, so a resumed study stops what an
uninterrupted one would. Optuna's pruners are not used: they refuse several objectives, and all families are one
to them.
"""

from __future__ import annotations

from typing import Protocol

from convscout.services.pruners.curves import Curve, Rivals


class Pruner(Protocol):
    """One rule of early stopping. It is asked after each epoch of a trial but the last.

    A class whose objects have this method is registered with ``@pruners.register(NAME)``.

        import numpy as np
        from convscout.services.plugins import pruners

        @pruners.register("below-median")
        class BelowMedian:
            def stops(self, trial, rivals):
                values = rivals.at(rivals.as_far_as(trial))
                known = values[~np.isnan(values)]  # some have not come so far
                return len(known) > 4 and trial.best < np.median(known)
    """

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        """Whether ``trial``, which has trained at least once, should end here.

        With no ``rivals`` it says whether the trial should end whatever the others do. Failed trials are no rivals.
        A trial is compared at the share of its epochs that it has trained, as lengths may differ.
        """
        ...
