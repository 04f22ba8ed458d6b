"""Forward selection with replacement (Caruana et al., 2004, "Ensemble selection from libraries of models").

Section 2.1, from a sorted initialisation (section 2.2); the library was pruned to its best before, as in Caruana,
Munson, Niculescu-Mizil (2006), "Getting the most out of ensemble selection".
"""

from __future__ import annotations

from collections import Counter

from convscout.services.ensembles.library import Library, Weights
from convscout.services.ensembles.votes import Votes, shares


def select_forward(library: Library, rounds: int) -> Weights:
    """Whoever adds most is added, ``rounds`` times; of all steps on the way the best is the answer.

    Weights are multiples of at least 1 / ``rounds``.
    """
    # half the slots at most, so that the other half can go to candidates that differ from the best
    heads = [shares(Counter(head)) for head in library.heads(max(1, library.limits.size // 2))]
    path: list[Weights] = [*heads]
    counts = Counter(list(library.best(heads)))
    votes = Votes(library)
    while counts.total() < rounds:
        eligible = [index for index in range(len(library)) if library.fits({*counts, index})]
        counts[votes.best_addition(counts, eligible)] += 1
        path.append(shares(counts))
    return library.best(path)
