"""The best few, with equal weights: the ensemble that most people make by hand."""

from __future__ import annotations

from collections import Counter

from convscout.services.ensembles.library import Library, Weights
from convscout.services.ensembles.votes import shares
from convscout.services.plugins import selectors


@selectors.register("top-k")
def top_k(library: Library) -> Weights:
    """The mean of the best k, with the best k of those that the limits allow."""
    return library.best(shares(Counter(head)) for head in library.heads(library.limits.size))
