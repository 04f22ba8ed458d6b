"""Grid search: every candidate of a finite space once, in an order drawn by the study's seed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from convscout.search_space.conditions import conditions
from convscout.search_space.enumeration import every
from convscout.search_space.errors import ExhaustedError, list_names
from convscout.search_space.space import SearchSpace
from convscout.services.config.units import format_combinations
from convscout.services.plugins import samplers
from convscout.services.samplers.base import IndependentSampler, Sampling, SamplingTask
from convscout.services.samplers.shared_knobs import unsuitable

LISTED = 10_000  # candidates of a grid that is gone through; from a larger one they are drawn

Parameters = dict[str, object]


@samplers.register("grid")
def grid(task: SamplingTask) -> Sampling:
    """Ends the search when all were proposed. A space that is not finite is refused."""
    _require_finite(task.space)
    count = task.space.size().discrete
    if count > LISTED:
        notice = f"the grid has {format_combinations(count)} candidates; they are drawn from it at random"
        return Sampling(fresh=lambda study, seed: RandomSampler(seed=seed), notice=notice)
    candidates = list(every(task.space))
    np.random.default_rng(task.seed).shuffle(candidates)
    return Sampling(fresh=_Grid(candidates).fresh, notice=_notice(len(candidates), task.trials))


class _Grid:
    """All ``candidates``, and which were found proposed so far, so that they need not be looked for again."""

    def __init__(self, candidates: list[Parameters]) -> None:
        self._candidates = {frozenset(each.items()): each for each in candidates}
        self._proposed: dict[int, frozenset[Any]] = {}

    def fresh(self, study: Study, seed: int) -> BaseSampler:
        """What proposes the first candidate that was not proposed yet; what waits in the queue comes before."""
        trials = study.get_trials(deepcopy=False)
        if any(trial.state is TrialState.WAITING for trial in trials):
            return RandomSampler(seed=seed)  # for what a queued candidate leaves open
        for trial in trials:
            if trial.number not in self._proposed:
                self._proposed[trial.number] = frozenset(trial.params.items())
        proposed = set(self._proposed.values())
        for key, parameters in self._candidates.items():
            if key not in proposed:
                return _Given(parameters)
        raise ExhaustedError(f"all {len(self._candidates):,} candidates of the grid were proposed")


class _Given(IndependentSampler):
    """Proposes ``parameters``."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._parameters[param_name]


def _require_finite(space: SearchSpace) -> None:
    size = space.size()
    if not size.continuous:
        return
    knobs = space.knobs()
    continuous = [name for name in conditions(space) if name in knobs and math.isinf(knobs[name].count())]
    raise unsuitable(
        "grid",
        f"must be tpe or random unless the space is finite; this one has {format_combinations(size.discrete)} "
        f"combinations times the values of {list_names(continuous)}; narrow each of those {len(continuous)} "
        f"under [space], as in {continuous[0]} = {{choices = [{knobs[continuous[0]].default}]}}",
    )


def _notice(count: int, trials: int | None) -> str:
    if trials is None or trials >= count:
        return f"the grid has {count:,} candidates"
    return f"the grid has {count:,} candidates, of which {trials:,} are tried"
