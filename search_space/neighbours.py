"""Neighbours: candidates that differ from another one in a single knob, and in what depends on it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from convscout.search_space.space import Candidate, SearchSpace

MOST_CHANGES = 20  # from a candidate that is known to one that is not


def unknown_neighbour(
    space: SearchSpace, candidate: Candidate, rng: random.Random, is_known: Callable[[Candidate], bool]
) -> Candidate | None:
    """The first that is not known on a walk from neighbour to neighbour, or None when that is a long one.

    None as well where every knob is fixed, so that nobody has a neighbour.
    """
    for _ in range(MOST_CHANGES):
        if not space.parameters(candidate):
            return None
        candidate = neighbour(space, candidate, rng)
        if not is_known(candidate):
            return candidate
    return None


def neighbour(space: SearchSpace, candidate: Candidate, rng: random.Random) -> Candidate:
    """``candidate`` with another value of one knob, drawn by ``rng``; what that brings in is random, too."""
    known = space.parameters(candidate)
    changed = rng.choice(list(known))
    return space.suggest(_Mutation(known, changed, rng))


class _Mutation:
    """A suggester that answers as ``known`` does, but for the knob ``changed`` and those that are not known."""

    def __init__(self, known: Mapping[str, Any], changed: str, rng: random.Random) -> None:
        self._unchanged = {name: value for name, value in known.items() if name != changed}
        self._before = known.get(changed)
        self._rng = rng

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if log and name not in self._unchanged:
            drawn = round(math.exp(self._rng.uniform(math.log(low), math.log(high))))
            return low + (drawn - low) // step * step
        value: int = self._among(name, range(low, high + 1, step))
        return value

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if name in self._unchanged:
            known: float = self._unchanged[name]
            return known
        if log:
            return min(max(math.exp(self._rng.uniform(math.log(low), math.log(high))), low), high)
        return self._rng.uniform(low, high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._among(name, choices)

    def _among(self, name: str, values: Sequence[Any]) -> Any:
        if name in self._unchanged:
            return self._unchanged[name]
        others = [value for value in values if value != self._before]
        return self._rng.choice(others or list(values))
