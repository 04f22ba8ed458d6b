"""The front of ensembles: the best one at each cost, from the cheapest candidate to where more brings nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from convscout.services.config.units import format_count
from convscout.services.ensembles.combination import combine
from convscout.services.ensembles.ensemble import Ensemble
from convscout.services.ensembles.library import EnsembleLimits, Library, Member, Rank
from convscout.services.ensembles.selection import select
from convscout.services.ensembles.temperature import temper

STEPS = 16  # limits that are tried, evenly spaced on a logarithmic scale, beside those of single candidates
STRATEGY = "greedy"  # the only one for which a limit is part of every step


@dataclass(frozen=True, kw_only=True)
class EnsembleCost:
    """Something that the members of an ensemble add up to: ``of`` one, and as a limit."""

    label: str
    of: Callable[[Member], float]
    limit: Callable[[EnsembleLimits, float], EnsembleLimits]
    text: Callable[[float], str]


COSTS: Mapping[str, EnsembleCost] = {
    "params": EnsembleCost(
        label="parameters",
        of=lambda member: float(member.params),
        limit=lambda limits, most: replace(limits, params=int(most)),
        text=format_count,
    ),
    "latency": EnsembleCost(
        label="latency of one image (ms)",
        of=lambda member: 1000 * member.latency_s,
        limit=lambda limits, most: replace(limits, latency=most / 1000),
        text=lambda ms: f"{ms:.3g} ms",
    ),
}


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """An ensemble and what it costs."""

    cost: float
    ensemble: Ensemble


def front(library: Library, cost: EnsembleCost) -> list[FrontPoint]:
    """Ensembles of rising cost, each better on the validation images than all cheaper ones."""
    costs = {member.name: cost.of(member) for member in library.candidates}
    dearest = sum(sorted(costs.values())[-library.limits.size :])
    steps = np.geomspace(min(costs.values()), dearest, STEPS).tolist()
    found: list[FrontPoint] = []
    best: Rank = (-math.inf, -math.inf)
    for most in sorted({*steps, *_costs_of_records(library, costs)}):
        ensemble = select(library.within(cost.limit(library.limits, most * (1 + 1e-9))), STRATEGY)
        spent = sum(costs[member.name] for member in ensemble.members)
        if (rank := _rank(library, ensemble)) > best:
            best = rank
            found = [
                point for point in found if point.cost < spent
            ]  # a higher limit may lead to a cheaper one
            found.append(FrontPoint(cost=spent, ensemble=ensemble))
    return found


def _costs_of_records(library: Library, costs: Mapping[str, float]) -> Iterator[float]:
    """The cost of each candidate that is better than all cheaper ones, which steps between them would pass by."""
    best: Rank = (-math.inf, -math.inf)
    for member in sorted(library.candidates, key=lambda each: costs[each.name]):
        if (rank := library.rank(member.probabilities)) > best:
            best = rank
            yield costs[member.name]


def _rank(library: Library, ensemble: Ensemble) -> Rank:
    answers = {member.name: member.probabilities for member in library.candidates}
    mean = combine(
        [answers[member.name] for member in ensemble.members],
        [member.weight for member in ensemble.members],
        ensemble.biases,
    )
    return library.rank(temper(mean, ensemble.temperature))
