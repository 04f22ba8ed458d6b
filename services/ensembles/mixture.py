"""The weights of a mixture: of least log loss, none of them negative, which sum to 1. A convex problem.

Solved by expectation maximisation (Dempster, Laird, Rubin, 1977, section 4.3), which needs no step size: each
iteration gives every member the share of the true classes' probability that it explains.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ITERATIONS = 200


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
