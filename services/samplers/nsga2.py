"""NSGA-II (Deb et al., 2002), by Optuna: evolves a Pareto front of several objectives."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from convscout.search_space.conditions import ALWAYS, conditions
from convscout.services.plugins import samplers
from convscout.services.samplers.base import Sampling, SamplingTask
from convscout.services.samplers.shared_knobs import unsuitable


@samplers.register("nsga2")
def nsga2(task: SamplingTask) -> Sampling:
    """For several objectives and many trials, as a generation is 50 of them."""
    if task.num_objectives < 2:
        raise unsuitable(
            "nsga2",
            "must be one for a single objective (tpe, gp, cmaes, random, qmc, grid); nsga2 needs a cost beside it, "
            "as in --objective accuracy,params",
        )
    needed = conditions(task.space)
    conditional = frozenset(name for name in needed if needed[name] != ALWAYS)
    return Sampling(fresh=lambda study, seed: GenePoolSampler(conditional, seed))


class GenePoolSampler(NSGAIISampler):
    """NSGA-II whose children inherit ``conditional`` knobs too, where Optuna's draw them at random.

    Two parents may not have them, so each comes from any of the parents that has it, and mutates as often as
    others do (gene pool recombination: Mühlenbein & Voigt, 1996).
    """

    def __init__(self, conditional: frozenset[str], seed: int) -> None:
        super().__init__(seed=seed)
        self._conditional = conditional
        self._pool_rng = np.random.default_rng(seed)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if param_name in self._conditional:
            generation = self.get_trial_generation(study, trial)
            parents = self.get_parent_population(study, generation)
            pool = [
                parent for parent in parents if parent.distributions.get(param_name) == param_distribution
            ]
            mutates = self._pool_rng.random() < 1 / max(1, len(trial.params))
            if pool and not mutates:
                return pool[self._pool_rng.integers(len(pool))].params[param_name]
        return super().sample_independent(study, trial, param_name, param_distribution)
