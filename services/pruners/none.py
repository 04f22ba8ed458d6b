"""No early stopping."""

from __future__ import annotations

from convscout.services.plugins import pruners
from convscout.services.pruners.curves import Curve, Rivals


@pruners.register("none")
class NoPruner:
    """Every trial trains all its epochs."""

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        return False
