"""Random candidates of a space, to see what it holds."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
from optuna.samplers import RandomSampler

from convscout.search_space.space import Candidate, SearchSpace


def random_candidates(space: SearchSpace, count: int) -> Iterator[Candidate]:
    """So many random candidates, always the same ones."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    for _ in range(count):
        yield space.suggest(study.ask())
