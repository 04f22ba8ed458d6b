"""The median stopping rule (Golovin et al., 2017, "Google Vizier", section 3.2.2)."""

from __future__ import annotations

from convscout.services.plugins import pruners
from convscout.services.pruners.base import Pruner
from convscout.services.pruners.percentile import Percentile


@pruners.register("median")
def median() -> Pruner:
    """Stops a trial whose best value so far is below the median of the others' after as many epochs."""
    return Percentile(50.0)
