"""Optuna's distributions of the knobs of a search space, by full name, whether or not they are sampled together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from convscout.search_space.space import SearchSpace


def distributions_of(space: SearchSpace) -> dict[str, BaseDistribution]:
    """The distribution of every knob of ``space`` that has more than one value."""
    found = _Distributions()
    if len(space.families) > 1:
        found.suggest_categorical("family", space.families)
    for name, knob in space.knobs().items():
        if knob.count() > 1:
            knob.suggest(found, name)
    return found.by_name


def contains(distribution: BaseDistribution, value: object) -> bool:
    """Whether ``value``, as a person writes it, can be drawn from ``distribution``."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and bool(distribution._contains(value))  # type: ignore[arg-type]


class _Distributions:
    """A suggester that writes down the distribution of each knob it is asked for, and answers with any value."""

    def __init__(self) -> None:
        self.by_name: dict[str, BaseDistribution] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.by_name[name] = IntDistribution(low, high, log=log, step=step)
        return low

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.by_name[name] = FloatDistribution(low, high, log=log, step=step)
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.by_name[name] = CategoricalDistribution(choices)
        return choices[0]
