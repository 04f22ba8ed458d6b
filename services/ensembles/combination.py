"""Combination: what the answers of an ensemble's members come to together. Shapes: N images, K classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from convscout.trials.evaluation.metrics import Probabilities

_SMALLEST = np.finfo(np.float32).tiny


def combine(
    probabilities: Sequence[Probabilities], weights: Sequence[float], biases: Sequence[float] = ()
) -> Probabilities:
    """The weighted mean of M answers, each (N, K); of their logarithms where there are ``biases`` (K,) to add."""
    total = np.zeros_like(probabilities[0])
    for weight, answer in zip(weights, probabilities, strict=True):
        total += np.float32(weight) * (np.log(np.maximum(answer, _SMALLEST)) if biases else answer)
    if not biases:
        return total
    found: Probabilities = softmax(total + np.array(biases, np.float32), axis=1)
    return found
