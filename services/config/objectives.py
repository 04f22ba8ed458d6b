"""Objectives: what a study makes large or small: a quality of its networks, and perhaps what they cost.

The first is measured after every epoch (``trials/evaluation/qualities.py``); the others are costs, less of which is
better, known before a trial begins. With costs a study looks for the Pareto front of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from optuna.study import StudyDirection

from convscout.search_space.complexity import Complexity
from convscout.services.config.units import format_bytes, format_count
from convscout.trials.evaluation.qualities import QUALITIES

_WEIGHT_BYTES = 4  # exports are in float32

Latency = Callable[[], float]  # measures, in seconds; only asked where it is an objective


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a candidate costs: ``of`` its complexity or its latency, as ``text`` for a person."""

    of: Callable[[Complexity, Latency], float]
    text: Callable[[float], str]


COSTS: Mapping[str, Cost] = {
    "params": Cost(of=lambda complexity, latency: float(complexity.params), text=format_count),
    "flops": Cost(of=lambda complexity, latency: float(complexity.flops), text=format_count),
    "size": Cost(of=lambda complexity, latency: float(_WEIGHT_BYTES * complexity.params), text=format_bytes),
    "latency": Cost(of=lambda complexity, latency: latency(), text=lambda s: f"{1000 * s:.3g} ms"),
}


def objective_names() -> tuple[str, ...]:
    """All objectives there are, qualities first."""
    return (*QUALITIES, *COSTS)


@dataclass(frozen=True)
class Objectives:
    """The objectives of one study, by name."""

    names: tuple[str, ...]

    @property
    def directions(self) -> list[StudyDirection]:
        """Whether each is made large or small, as Optuna says it."""
        quality = QUALITIES[self.names[0]]
        first = StudyDirection.MAXIMIZE if quality.maximize else StudyDirection.MINIMIZE
        return [first, *[StudyDirection.MINIMIZE] * len(self.names[1:])]

    def costs(self, complexity: Complexity, latency: Latency) -> dict[str, float]:
        """What a candidate costs, by objective."""
        return {name: COSTS[name].of(complexity, latency) for name in self.names[1:]}
