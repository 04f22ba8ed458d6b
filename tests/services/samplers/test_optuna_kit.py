"""Optuna's own kit for samplers, on ours: each proposes a trial with a sampler made for it, as a search does.

``qmc`` and ``grid`` know the knobs of one design space alone, and cannot be asked for others, as the kit does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import FrozenTrial

from convscout.search_space.space import SearchSpace
from convscout.services.plugins import samplers
from convscout.services.samplers.base import SamplerFactory, SamplingTask
from tests.support.sampled import IMAGE

SPACE = SearchSpace(image=IMAGE, families=("lenet",), epochs=9)


class Fresh(BaseSampler):
    """Asks a fresh sampler for each trial."""

    def __init__(self, make: SamplerFactory) -> None:
        self._make = make
        self._made: dict[int, BaseSampler] = {}

    def _of(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        if trial.number not in self._made:
            self._made[trial.number] = self._make(study, trial.number)
        return self._made[trial.number]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}  # those of ours that have one know it beforehand, from the design space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._of(study, trial).sample_independent(study, trial, param_name, param_distribution)


def fresh(name: str, objectives: int = 1) -> Callable[[], BaseSampler]:
    """Makes samplers of that name for studies of so many objectives."""
    task = SamplingTask(space=SPACE, num_objectives=objectives)
    return lambda: Fresh(samplers.get(name)(task).fresh)


class TestTpe(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return fresh("tpe")


class TestLocal(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return fresh("local")


class TestNsga2(MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return fresh("nsga2", objectives=2)
