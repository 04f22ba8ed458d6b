"""Weights of least log loss, none of them negative, which sum to 1: a convex problem.

Solved by expectation maximisation for the weights of a mixture (Dempster, Laird, Rubin, 1977, section 4.3), which
needs no step size: each iteration gives every member the share of the true classes' probability that it explains.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.ensembles.library import Library, Weights, selectors

ITERATIONS = 200
_LEAST = 1e-3  # a smaller share changes no answer


@selectors.register("weighted")
def weighted(library: Library) -> Weights:
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


def mixture(
    likelihoods: npt.NDArray[np.float32], image_weights: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """The weights (M,) under which a mixture gives the true classes of the images the highest likelihood.

    ``likelihoods`` (M, N) are what each member gave them, ``image_weights`` (N,) what each image counts.
    """
    counted = image_weights / image_weights.sum()
    found = np.full(len(likelihoods), 1 / len(likelihoods))
    safe = np.maximum(likelihoods, np.finfo(np.float32).tiny)
    for _ in range(ITERATIONS):
        explained = counted / (found.astype(np.float32) @ safe)  # (N,)
        found *= safe @ explained
    total: float = found.sum()
    return found / total
