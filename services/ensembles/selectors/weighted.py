"""Weights of least log loss, none of them negative, which sum to 1."""

from __future__ import annotations

import numpy as np

from convscout.services.ensembles.library import Library, Weights
from convscout.services.ensembles.mixture import mixture
from convscout.services.plugins import selectors

_LEAST = 1e-3  # a smaller share changes no answer


@selectors.register("weighted")
def select_weighted(library: Library) -> Weights:
    """All candidates are weighed; the heaviest that the limits allow are kept and weighed once more."""
    images = np.arange(len(library.labels))
    likelihoods = np.stack(
        [each.probabilities[images, library.labels] for each in library.candidates]
    )  # (M, N)
    chosen: list[int] = []
    everyone = mixture(likelihoods, library.image_weights)
    for index in np.argsort(-everyone, kind="stable"):
        if (not chosen or everyone[index] >= _LEAST) and library.fits([*chosen, int(index)]):
            chosen.append(int(index))
    found = mixture(likelihoods[chosen], library.image_weights)
    found = np.where(found >= _LEAST, found, 0)
    return {
        index: float(weight) for index, weight in zip(chosen, found / found.sum(), strict=True) if weight > 0
    }
