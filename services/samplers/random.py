"""Uniform random search, the baseline that is hard to beat (Bergstra & Bengio, 2012)."""

from __future__ import annotations

from optuna.samplers import RandomSampler

from services.sampling import Sampling, SamplingTask, samplers


@samplers.register("random")
def random(task: SamplingTask) -> Sampling:
    """Every knob independently and uniformly over its range (log-uniformly where the knob is logarithmic)."""
    return Sampling(fresh=lambda study, seed: RandomSampler(seed=seed))
