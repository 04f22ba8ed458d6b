"""Uniform random search, the baseline that is hard to beat (Bergstra & Bengio, 2012)."""

from __future__ import annotations

from optuna.samplers import BaseSampler, RandomSampler

from services.sampling import samplers


@samplers.register("random")
def random(seed: int) -> BaseSampler:
    """Every knob independently and uniformly over its range (log-uniformly where the knob is logarithmic)."""
    return RandomSampler(seed=seed)
