"""The median stopping rule (Golovin et al., 2017, "Google Vizier", section 3.2.2)."""

from __future__ import annotations

from services.pruners.percentile import Percentile
from services.pruning import Pruner, pruners


@pruners.register("median")
def median() -> Pruner:
    """Stops a trial whose best value so far is below the median of the others' after as many epochs."""
    return Percentile(50.0)
