"""Common knobs: those that every candidate of a space has. Some samplers know only them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import chain

from optuna.distributions import BaseDistribution

from convscout.search_space.conditions import ALWAYS, conditions
from convscout.search_space.errors import ConfigError, Problem, list_names
from convscout.search_space.space import SearchSpace
from convscout.services.samplers.distributions import distributions_of

# Where one of these varies, most of what matters is not common: the architecture, or the learning rate.
_DECISIVE = {
    "family": "one family with --families",
    "recipe.optimizer": 'recipe.optimizer = "sgd" under [space]',
}


def common_knobs(space: SearchSpace) -> dict[str, BaseDistribution]:
    """The sampled knobs that every candidate has, by full name."""
    needed = conditions(space)
    return {name: each for name, each in distributions_of(space).items() if needed.get(name) == ALWAYS}


def deciding_knobs(space: SearchSpace) -> list[str]:
    """The knobs that decide which others a candidate has, those that decide most first."""
    decided = Counter(chain(*conditions(space).values()))
    return sorted(decided, key=lambda name: (-decided[name], name))


def require_common(space: SearchSpace, sampler: str) -> None:
    """Raise ``ConfigError`` for a ``sampler`` that knows only common knobs, where they are not what matters."""
    if found := [name for name in deciding_knobs(space) if name in _DECISIVE]:
        cures = " and ".join(_DECISIVE[name] for name in found)
        raise unsuitable(
            sampler,
            f"must be one for conditional spaces (tpe, random, qmc), as which knobs a candidate has depends on "
            f"{' and '.join(found)}; {sampler} needs {cures}",
        )


def unsuitable(sampler: str, rule: str) -> ConfigError:
    """The error of a ``sampler`` that does not suit its task, because ``rule`` must hold."""
    return ConfigError([Problem(field="study.sampler", value=sampler, rule=rule)])


def describe_others(space: SearchSpace, sampler: str, known: Collection[str]) -> str:
    """What a person should know of the knobs that are not ``known`` to ``sampler``; empty if all are."""
    others = [name for name in conditions(space) if name not in known]
    return f"{sampler} draws some knobs at random: {list_names(others)}" if others else ""
