"""Sampling: how the next candidate is proposed. What a sampler is told, and the registry of all.

A registered one is asked once in a process whether it suits its task. What it answers makes a fresh Optuna sampler
for every proposal, from the trials in the ledger and a seed alone, so that an interrupted study proposes what an
uninterrupted one would.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from convscout.search_space.space import SearchSpace

if TYPE_CHECKING:
    from convscout.services.config.study_config import StudyConfig

SamplerFactory = Callable[[Study, int], BaseSampler]
"""From the study so far and the seed of one proposal. Raises ``ExhaustedError`` when nothing is left to propose."""


@dataclass(frozen=True, kw_only=True)
class SamplingTask:
    """What candidates are proposed for. ``seed`` is the study's; ``trials`` is None where the time decides.

    ``full_trials`` is about how many could be trained to their end.
    """

    space: SearchSpace
    seed: int = 0
    num_objectives: int = 1
    trials: int | None = None
    full_trials: float = math.inf

    @classmethod
    def of(cls, config: StudyConfig, space: SearchSpace, full_trials: float = math.inf) -> Self:
        """The task of a study, whose settings allow ``space``."""
        return cls(
            space=space,
            seed=config.seed,
            num_objectives=len(config.objective),
            trials=config.trials,
            full_trials=full_trials,
        )


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """A sampler that was told its task. ``notice`` is what a person should know of its ways, if anything.

    A function from a task to one is registered with ``@samplers.register(NAME)``.

        from convscout.services.plugins import samplers
        from convscout.services.samplers.base import Sampling
        from optuna.samplers import RandomSampler

        @samplers.register("uniform")
        def uniform(task):
            return Sampling(fresh=lambda study, seed: RandomSampler(seed=seed))
    """

    fresh: SamplerFactory
    notice: str = ""


class IndependentSampler(BaseSampler):
    """A sampler that proposes each knob by itself, when it is asked for: ``sample_independent`` is all it has."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}
