"""Early stopping by a trial's own curve (Prechelt, 1998, "Early Stopping – But When?")."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from convscout.services.plugins import pruners
from convscout.services.pruners.curves import Curve, Rivals


@pruners.register("patient")
@dataclass(frozen=True)
class Patient:
    """Stops a trial that for a ``patience`` of its epochs was not better than before by more than ``tolerance``.

    It looks at no other trial. ``patience`` is a share of all its epochs, at least three: what seems to stand
    still often improves once more when the learning rate falls. ``tolerance`` is in the objective's unit.
    """

    patience: float = 1 / 3
    tolerance: float = 0.001

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        lately = max(3, ceil(self.patience * trial.epochs))
        before = trial.values[:-lately]
        return bool(before) and trial.best <= max(before) + self.tolerance
