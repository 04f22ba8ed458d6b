"""Bayesian optimization with a Gaussian process and expected improvement (Jones et al., 1998), by Optuna."""

from __future__ import annotations

from optuna.samplers import GPSampler

from convscout.services.plugins import samplers
from convscout.services.samplers.base import Sampling, SamplingTask
from convscout.services.samplers.shared_knobs import common_knobs, describe_others, require_common


@samplers.register("gp")
def gp(task: SamplingTask) -> Sampling:
    """Makes the most of few trials. It learns from those that trained to their end, and of common knobs."""
    require_common(task.space, "gp")
    return Sampling(
        fresh=lambda study, seed: GPSampler(seed=seed, warn_independent_sampling=False),
        notice=describe_others(task.space, "gp", common_knobs(task.space)),
    )
