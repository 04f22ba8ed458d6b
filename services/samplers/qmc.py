"""Quasi-random search: points of a scrambled Sobol' sequence (Sobol', 1967; Owen, 1998), which leave fewer gaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import Study
from optuna.trial import FrozenTrial

from convscout.search_space.conditions import conditions
from convscout.services.plugins import samplers
from convscout.services.samplers.base import IndependentSampler, Sampling, SamplingTask
from convscout.services.samplers.tpe.scale import Array, Scale


@samplers.register("qmc")
def qmc(task: SamplingTask) -> Sampling:
    """A trial's number is that of its point. Each knob has a dimension, though not every candidate has the knob.

    Optuna's ``QMCSampler`` knows only the knobs of the first trial, and draws all others at random.
    """
    from scipy.stats.qmc import Sobol  # importing it takes a second

    dimensions = {name: index for index, name in enumerate(conditions(task.space))}
    engine = Sobol(max(1, len(dimensions)), scramble=True, rng=task.seed)

    @cache
    def point(number: int) -> Array:
        engine.reset()
        if number:
            engine.fast_forward(number)
        found: Array = engine.random(1)[0]
        return found

    return Sampling(fresh=lambda study, seed: SobolSampler(dimensions, point))


class SobolSampler(IndependentSampler):
    """Reads each knob off the ``point`` of a trial; ``dimensions`` says where."""

    def __init__(self, dimensions: Mapping[str, int], point: Callable[[int], Array]) -> None:
        self._dimensions, self._point = dimensions, point

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        share = self._point(trial.number)[self._dimensions[param_name]]
        if isinstance(param_distribution, CategoricalDistribution):
            return param_distribution.choices[int(share * len(param_distribution.choices))]
        assert isinstance(param_distribution, FloatDistribution | IntDistribution)
        scale = Scale.of(param_distribution)
        return param_distribution.to_external_repr(
            float(scale.values(scale.low + share * (scale.high - scale.low)))
        )
