"""Tree-structured Parzen estimator (Bergstra et al., 2011), which stays as fast as a study grows.

Proposes what is likely among good trials and unlikely among bad ones. Settings and rules are those of Optuna's
``TPESampler``: knobs that every candidate has are sampled together, the others one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from convscout.services.plugins import samplers
from convscout.services.samplers.base import Sampling, SamplingTask
from convscout.services.samplers.observations import Observations, ObservedStudies
from convscout.services.samplers.shared_knobs import common_knobs
from convscout.services.samplers.tpe.parzen import ParzenEstimator

STARTUP = 10  # finished trials before which sampling is random
CANDIDATES = 24  # of which the most promising is proposed
MOST_BAD = 512  # trials that a density is told from; more are represented by that many


def num_good(num_trials: int) -> int:
    """How many of so many trials are called good."""
    return min(math.ceil(0.1 * num_trials), 25)


@samplers.register("tpe")
def tpe(task: SamplingTask) -> Sampling:
    """Models good and bad trials; of several objectives, by the fronts they lie on (Ozaki et al., 2022)."""
    if task.num_objectives > 1:
        return Sampling(fresh=lambda study, seed: TPESampler(seed=seed))
    joint = common_knobs(task.space)
    known = ObservedStudies()

    def fresh(study: Study, seed: int) -> BaseSampler:
        return TreeParzenSampler(known.of(study), joint, seed)

    return Sampling(fresh=fresh)


class TreeParzenSampler(BaseSampler):
    """Proposes one candidate. ``joint`` are the knobs that every candidate has."""

    def __init__(self, observations: Observations, joint: Mapping[str, BaseDistribution], seed: int) -> None:
        self._observations = observations
        self._joint = dict(joint)
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._learns = observations.num_finished >= STARTUP
        self._good, self._bad = observations.split(num_good(observations.num_finished))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._joint if self._learns else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sample(search_space) if search_space else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if not self._learns:
            return self._random.sample_independent(study, trial, param_name, param_distribution)
        return self._sample({param_name: param_distribution})[param_name]

    def _sample(self, knobs: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        """The values of ``knobs`` whose density among the good trials most exceeds that among the bad."""
        columns = {name: self._observations.values(name, each) for name, each in knobs.items()}
        complete = ~np.isnan(np.array(list(columns.values()))).any(axis=0)
        good, bad = (
            ParzenEstimator.of(
                {name: column[rows & complete] for name, column in columns.items()}, knobs, most=MOST_BAD
            )
            for rows in (self._good, self._bad)
        )
        candidates = good.sample(CANDIDATES, self._rng)
        best = int(np.argmax(good.log_density(candidates) - bad.log_density(candidates)))
        return {name: each.to_external_repr(float(candidates[name][best])) for name, each in knobs.items()}
