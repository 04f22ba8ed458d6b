"""Diversity across families: networks of different kinds make different mistakes.

Errors of members that agree by construction do not cancel (Krogh & Vedelsby, 1995, "Neural network ensembles, cross
validation, and active learning", equation 6), so each family has its turn before any has a second one.
"""

from __future__ import annotations

from collections import Counter

from convscout.services.ensembles.library import Library, Weights
from convscout.services.ensembles.votes import Votes, shares
from convscout.services.plugins import selectors


@selectors.register("diverse")
def diverse(library: Library) -> Weights:
    """The candidate that adds most among the families that have the fewest members so far; equal weights.

    Of all sizes on the way the best is the answer.
    """
    votes = Votes(library)
    counts = Counter([0])
    path: list[Weights] = [shares(counts)]
    while eligible := [i for i in range(len(library)) if i not in counts and library.fits([*counts, i])]:
        members = Counter(library.candidates[index].family for index in counts)
        fewest = min(members[library.candidates[index].family] for index in eligible)
        turn = [index for index in eligible if members[library.candidates[index].family] == fewest]
        counts[votes.best_addition(counts, turn)] += 1
        path.append(shares(counts))
    return library.best(path)
