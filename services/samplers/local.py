"""Local search: the best candidate so far with a few knobs changed; for a search of a few trials.

With ten trials no model of the space can be learned, and a random candidate is rarely as good as one that is proven.
What a search begins with is (the portfolio), so its surroundings are where a few trials are best spent, as in the
mutations of regularized evolution (Real et al., 2019, "Regularized evolution for image classifier architecture
search", section 3).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from convscout.services.plugins import samplers
from convscout.services.samplers.base import IndependentSampler, Sampling, SamplingTask
from convscout.services.samplers.observations import ObservedStudies
from convscout.services.samplers.shared_knobs import deciding_knobs, unsuitable

CHANGES = 2  # knobs
STEP = 0.2  # standard deviation of a numeric knob's change, of its range


@samplers.register("local")
def local(task: SamplingTask) -> Sampling:
    """Changes a few knobs of the best candidate so far; for searches too short to learn a model from."""
    if task.num_objectives > 1:
        raise unsuitable("local", "must be one for several objectives (tpe, nsga2, gp, random, qmc, grid)")
    deciding = frozenset(deciding_knobs(task.space))
    known = ObservedStudies()

    def fresh(study: Study, seed: int) -> LocalSampler:
        trials = study.get_trials(deepcopy=False)
        best = np.flatnonzero(known.of(study).split(1)[0]).tolist()
        # while none has finished, the first that began: of a portfolio, the strongest
        first = [trial.number for trial in trials if trial.params]
        parent = next((trials[number] for number in (*best, *first)), None)
        return LocalSampler(parent, deciding, seed)

    return Sampling(fresh=fresh)


class LocalSampler(IndependentSampler):
    """Proposes one candidate: like ``parent``, or a random one where there is none.

    Knobs that are ``deciding`` which others there are stay as they are, as nothing is known of what they would bring.
    """

    def __init__(self, parent: FrozenTrial | None, deciding: Collection[str], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._values: Mapping[str, Any] = parent.params if parent else {}
        known: Mapping[str, BaseDistribution] = parent.distributions if parent else {}
        free = sorted(name for name, each in known.items() if not each.single() and name not in deciding)
        self._changed = set(self._rng.permutation(free)[:CHANGES].tolist())

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        value = self._values.get(param_name)
        if param_name not in self._values or not _allows(param_distribution, value):
            return self._random.sample_independent(study, trial, param_name, param_distribution)
        return self._move(value, param_distribution) if param_name in self._changed else value

    def _move(self, value: Any, distribution: BaseDistribution) -> Any:
        if isinstance(distribution, CategoricalDistribution):
            others = [choice for choice in distribution.choices if choice != value]
            return others[self._rng.integers(len(others))] if others else value
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        low, high, at = distribution.low, distribution.high, value
        if distribution.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        move = self._rng.normal(0, STEP * (high - low))
        moved = math.exp(at + move) if distribution.log else at + move
        if step := distribution.step:
            steps = round((moved - value) / step) or (1 if move > 0 else -1)
            moved = value + steps * step
            if not distribution.low <= moved <= distribution.high:
                # the other way, but no further than the range
                moved = value - step if steps > 0 else value + step
        moved = min(max(moved, distribution.low), distribution.high)
        return int(moved) if isinstance(distribution, IntDistribution) else float(moved)


def _allows(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high
