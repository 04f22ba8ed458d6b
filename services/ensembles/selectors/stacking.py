"""Stacking (Wolpert, 1992, "Stacked generalization"): a logistic regression on what the candidates answer.

None of them has trained on the validation images, so their answers to these are out of fold. Each candidate has one
weight, not negative (Breiman, 1996, "Stacked regressions", section 3), and each class a bias: the weighted mean of
logarithms, which differs from that of probabilities in that every member can veto a class.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

from convscout.services.ensembles.library import Library, LogWeights, Weights
from convscout.services.ensembles.mixture import mixture
from convscout.services.plugins import selectors

CONSIDERED = 10  # the heaviest of a mixture: more of them fit the validation images rather than their classes
RIDGE = 1e-2  # draws the weights to equal ones and the biases to none
_LEAST = 0.02  # a smaller share is not worth a network
_SMALLEST = np.finfo(np.float32).tiny


@selectors.register("stacking")
def stacking(library: Library) -> Weights:
    """The candidates that matter are weighed; the heaviest that the limits allow are kept and weighed once more."""
    images = np.arange(len(library.labels))
    likelihoods = np.stack([each.probabilities[images, library.labels] for each in library.candidates])
    heaviest = np.argsort(-mixture(likelihoods, library.image_weights), kind="stable")[:CONSIDERED]
    considered = [int(index) for index in heaviest]
    weights, _ = _regression(library, considered)
    chosen: list[int] = []
    for place in np.argsort(-weights, kind="stable"):
        if (not chosen or weights[place] >= _LEAST) and library.fits([*chosen, considered[place]]):
            chosen.append(considered[place])
    if len(chosen) == 1:
        return {chosen[0]: 1.0}
    weights, biases = _regression(library, chosen)
    total = weights.sum()
    if not total > 0:
        return {chosen[0]: 1.0}
    shares = {index: float(weight / total) for index, weight in zip(chosen, weights, strict=True) if weight}
    return LogWeights(shares, biases=tuple(float(bias / total) for bias in biases))


def _regression(
    library: Library, chosen: list[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The weights (M,) of the ``chosen`` candidates and the biases (K,) of least log loss."""
    logs = np.stack(
        [np.log(np.maximum(library.candidates[index].probabilities, _SMALLEST)) for index in chosen]
    )  # (M, N, K)
    num_members, num_images, num_classes = logs.shape
    images, labels = np.arange(num_images), library.labels
    counts = (library.image_weights / library.image_weights.sum()).astype(np.float32)  # (N,)
    equal = 1 / num_members

    def loss(point: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights, biases = point[:num_members], point[num_members:]
        mixed = np.tensordot(weights.astype(np.float32), logs, axes=1) + biases.astype(np.float32)  # (N, K)
        answers = log_softmax(mixed, axis=1)
        slopes = np.exp(answers)
        slopes[images, labels] -= 1
        slopes *= counts[:, None]
        offsets = np.concatenate([weights - equal, biases])
        gradient = np.concatenate([np.tensordot(logs, slopes, axes=2), slopes.sum(axis=0)])
        value = -float(counts @ answers[images, labels]) + RIDGE * float(offsets @ offsets)
        return value, gradient.astype(np.float64) + 2 * RIDGE * offsets

    start = np.concatenate([np.full(num_members, equal), np.zeros(num_classes)])
    bounds = [(0, None)] * num_members + [(None, None)] * num_classes
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60}).x
    return found[:num_members], found[num_members:]
