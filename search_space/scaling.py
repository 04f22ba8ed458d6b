"""Scaling: the same kind of network, only as much smaller as a limit asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from convscout.search_space.complexity import Complexity
from convscout.search_space.errors import ConfigError, UnbuildableError
from convscout.search_space.knobs import Integer, Real
from convscout.search_space.space import Candidate, SearchSpace

FEW_VALUES = 8  # of a knob, whose steps change a network much
HALVINGS = 7  # of the line from the smallest network to the candidate

Cost: TypeAlias = Callable[[Candidate], Complexity]
"""What a candidate costs; raises ``UnbuildableError``."""
Number: TypeAlias = Integer | Real


def scale(
    space: SearchSpace, candidate: Candidate, cost: Cost, fits: Callable[[Complexity], bool]
) -> Candidate:
    """The largest network that ``fits`` on the line from the smallest of its kind in ``space`` to ``candidate``.

    On that line all sizes (widths, depths, whatever makes a network dearer) shrink towards the least that the study
    samples, those of few values, as depths, only once the others are there; all else stays as it is. Where even the
    smallest does not fit, that is the answer.
    """
    sizes = _sizes(space, candidate, cost)
    smallest = _shrunk(candidate, sizes, 0.0) or candidate
    best, low, high = smallest, 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        between = _shrunk(candidate, sizes, middle)
        if between and _fits(between, cost, fits):
            best, low = between, middle
        else:
            high = middle
    return best


def _shrunk(candidate: Candidate, sizes: Mapping[str, Number], share: float) -> Candidate | None:
    """``candidate`` at ``share`` of the way from the least ``sizes``; None where knobs contradict each other there."""
    architecture, recipe = candidate
    coarse, fine = min(1.0, 2 * share), max(0.0, 2 * share - 1)
    values = {
        name: _between(knob, getattr(architecture, name), coarse if _is_coarse(knob) else fine)
        for name, knob in sizes.items()
    }
    try:
        return replace(architecture, **values), recipe
    except ConfigError:
        return None


def _fits(candidate: Candidate, cost: Cost, fits: Callable[[Complexity], bool]) -> bool:
    try:
        return fits(cost(candidate))
    except UnbuildableError:
        return False


def _sizes(space: SearchSpace, candidate: Candidate, cost: Cost) -> dict[str, Number]:
    """The sampled numbers of the architecture without which, at their least, it would cost less, by field."""
    architecture, _ = candidate
    whole, sampled, knobs = cost(candidate), space.parameters(candidate), space.knobs()

    def is_size(name: str, knob: Number) -> bool:
        least = _shrunk(candidate, {name: knob}, 0.0)
        return least is not None and _fits(least, cost, lambda own: _is_cheaper(own, whole))

    numbers = {
        name: knob
        for name in architecture.knobs()
        if (full := f"{architecture.name}.{name}") in sampled
        and isinstance(knob := knobs[full], Integer | Real)
    }
    return {name: knob for name, knob in numbers.items() if is_size(name, knob)}


def _is_cheaper(own: Complexity, whole: Complexity) -> bool:
    return own.flops < whole.flops or own.activations < whole.activations


def _is_coarse(knob: Number) -> bool:
    return knob.count() <= FEW_VALUES


def _between(knob: Number, value: float, share: float) -> float:
    """What lies at ``share`` of the way from the least that is sampled to ``value``, rounded to its grid."""
    if value <= knob.low:
        return value
    if knob.log:
        between = math.exp((1 - share) * math.log(knob.low) + share * math.log(value))
    else:
        between = (1 - share) * knob.low + share * value
    if isinstance(knob, Integer):
        return int(knob.low) + round((between - knob.low) / knob.step) * knob.step
    return between
