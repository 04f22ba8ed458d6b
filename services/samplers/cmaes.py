"""Covariance matrix adaptation (Hansen & Ostermeier, 2001), by Optuna and the package cmaes."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution
from optuna.samplers import CmaEsSampler

from convscout.services.plugins import samplers
from convscout.services.samplers.base import Sampling, SamplingTask
from convscout.services.samplers.shared_knobs import common_knobs, describe_others, require_common, unsuitable


@samplers.register("cmaes")
def cmaes(task: SamplingTask) -> Sampling:
    """Evolves common numeric knobs, a generation after the other, from trials that trained to their end."""
    if task.num_objectives > 1:
        raise unsuitable("cmaes", "must be one for several objectives (tpe, nsga2, gp, random, qmc, grid)")
    require_common(task.space, "cmaes")
    common = common_knobs(task.space)
    numeric = [name for name, each in common.items() if not isinstance(each, CategoricalDistribution)]
    if len(numeric) < 2:
        here = numeric[0] if numeric else "none"
        raise unsuitable(
            "cmaes",
            f"must be tpe, gp or random unless two numeric knobs or more are in every candidate (here: {here}); "
            "widen one under [space]",
        )
    return Sampling(
        fresh=lambda study, seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
        notice=describe_others(task.space, "cmaes", numeric),
    )
