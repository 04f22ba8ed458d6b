"""Bagged ensemble selection (Caruana et al., 2004, section 2.3): greedy selection from random halves of the library."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from convscout.services.ensembles.forward_selection import select_forward
from convscout.services.ensembles.library import Library, Weights
from convscout.services.plugins import selectors

BAGS = 8
ROUNDS = 10  # of each bag
LEAST = 1 / 25  # of the answer; who says less costs as much as any other member


@selectors.register("bagged")
def select_bagged(library: Library) -> Weights:
    """What is chosen from many halves is not chosen by chance; of those the most frequent make the ensemble."""
    rng = np.random.default_rng(0)
    total: dict[int, float] = defaultdict(float)
    for _ in range(BAGS):
        bag = sorted(rng.permutation(len(library))[: max(1, (len(library) + 1) // 2)])
        half = replace(library, candidates=tuple(library.candidates[index] for index in bag))
        for index, weight in select_forward(half, ROUNDS).items():
            total[bag[index]] += weight
    chosen: list[int] = []
    for index in sorted(total, key=lambda each: (-total[each], each)):
        if (not chosen or total[index] >= LEAST * BAGS) and library.fits([*chosen, index]):
            chosen.append(index)
    whole = sum(total[index] for index in chosen)
    return {index: total[index] / whole for index in chosen}
