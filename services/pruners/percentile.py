"""The percentile rule: the median stopping rule (Golovin et al., 2017, section 3.2.2) with another share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convscout.services.plugins import pruners
from convscout.services.pruners.curves import Curve, Rivals

STARTUP_TRIALS = 5
WARMUP = 4  # nothing is stopped in the first quarter of its epochs


@pruners.register("percentile")
@dataclass(frozen=True)
class Percentile:
    """Stops a trial whose best value so far is below that ``percentile`` of the others' after as many epochs.

    A trial that has ended stays among them with the best that it had. The paper compares with those that were
    completed; among the survivors alone the bar would rise from trial to trial, and in the end stop all but records.
    """

    percentile: float = 25.0

    def stops(self, trial: Curve, rivals: Rivals) -> bool:
        if WARMUP * len(trial.values) <= trial.epochs:
            return False
        others = rivals.at_or_ended(rivals.as_far_as(trial))
        others = others[~np.isnan(others)]
        return len(others) >= STARTUP_TRIALS and trial.best < float(np.percentile(others, self.percentile))
