"""Size: how many configurations a set of knobs can give, counted without making them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add, mul
from typing import Any

from convscout.search_space.knobs import Knob, Scalar

OTHER = object()  # stands for all the values of a field that no condition names


@dataclass(frozen=True, kw_only=True)
class SpaceSize:
    """How many configurations there are.

    ``discrete`` counts the combinations of all but the continuous knobs; ``continuous`` is the most
    continuous knobs that are sampled at once. ``a * b`` is the size of both together, ``a + b`` that of
    either one or the other.
    """

    discrete: int = 1
    continuous: int = 0

    def __mul__(self, other: SpaceSize) -> SpaceSize:
        return SpaceSize(
            discrete=self.discrete * other.discrete, continuous=self.continuous + other.continuous
        )

    def __add__(self, other: SpaceSize) -> SpaceSize:
        return SpaceSize(
            discrete=self.discrete + other.discrete, continuous=max(self.continuous, other.continuous)
        )


def together(sizes: Iterable[SpaceSize]) -> SpaceSize:
    """The size of independent parts, all of which are chosen."""
    return reduce(mul, sizes, SpaceSize())


def either(sizes: Iterable[SpaceSize]) -> SpaceSize:
    """The size of alternatives, one of which is chosen."""
    return reduce(add, sizes)


def size_of(knobs: Mapping[str, Knob]) -> SpaceSize:
    """How many configurations ``knobs``, by field name and in the order they are sampled, can give.

    Knobs are taken up one by one. Of the fields before, only those that a later condition names are told
    apart, and of their values only the named ones, so the work does not grow with the space.
    """
    fields, named = list(knobs), _named_values(knobs)
    states: dict[tuple[tuple[str, Any], ...], SpaceSize] = {(): SpaceSize()}
    for position, (field, knob) in enumerate(knobs.items()):
        needed = {name for later in fields[position + 1 :] for name in knobs[later].when}
        following: dict[tuple[tuple[str, Any], ...], SpaceSize] = {}
        for state, size in states.items():
            values = dict(state)
            for value, ways in _outcomes(knob, values, named.get(field, set())).items():
                key = tuple(item for item in {**values, field: value}.items() if item[0] in needed)
                following[key] = following.get(key, SpaceSize(discrete=0)) + size * ways
        states = following
    return states[()]


def _named_values(knobs: Mapping[str, Knob]) -> dict[str, set[Scalar]]:
    """The values that conditions name, by the field they are of."""
    named: dict[str, set[Scalar]] = {}
    for knob in knobs.values():
        for field, values in knob.when.items():
            named.setdefault(field, set()).update(values)
    return named


def _outcomes(knob: Knob, values: Mapping[str, Any], named: set[Scalar]) -> dict[Any, SpaceSize]:
    """What the field of ``knob`` can be, given ``values`` of fields before it, each with its number of ways."""
    if not (knob.active(values) and knob.count() > 1):
        return {knob.default: SpaceSize()}
    if math.isinf(knob.count()):
        return {OTHER: SpaceSize(continuous=1)}
    outcomes: dict[Any, SpaceSize] = {value: SpaceSize() for value in named if knob.samples(value)}
    if others := int(knob.count()) - len(outcomes):
        outcomes[OTHER] = SpaceSize(discrete=others)
    return outcomes
