"""Greedy ensemble selection (Caruana et al., 2004, "Ensemble selection from libraries of models")."""

from __future__ import annotations

from convscout.services.ensembles.forward_selection import select_forward
from convscout.services.ensembles.library import Library, Weights
from convscout.services.plugins import selectors

ROUNDS = 25  # draws with replacement


@selectors.register("greedy")
def greedy(library: Library) -> Weights:
    """Whoever adds most is added, again and again."""
    return select_forward(library, ROUNDS)
