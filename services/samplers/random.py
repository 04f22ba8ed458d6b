"""Uniform random search, the baseline that is hard to beat (Bergstra & Bengio, 2012)."""

from __future__ import annotations

from optuna.samplers import RandomSampler

from convscout.services.plugins import samplers
from convscout.services.samplers.base import Sampling, SamplingTask


@samplers.register("random")
def random(task: SamplingTask) -> Sampling:
    """Every knob independently and uniformly over its range (log-uniformly where the knob is logarithmic)."""
    return Sampling(fresh=lambda study, seed: RandomSampler(seed=seed))
