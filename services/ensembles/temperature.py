"""Temperature scaling (Guo et al., 2017, "On calibration of modern neural networks", section 4.2).

Answers are divided by one number before the softmax, which leaves their order as it is. It is fitted to the
validation images as the root of the slope of their loss, which is convex in its inverse. Shapes: N images, K classes.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import Probabilities

SHARPEST, FLATTEST = 0.2, 5.0
_FLAT = 1e-12
_SMALLEST = np.finfo(np.float32).tiny


def fit_temperature(probabilities: Probabilities, labels: Labels, most: int | None = None) -> float:
    """The temperature of least log loss for ``probabilities`` (N, K), told from at most so many of the images.

    The true class is trusted as far as so many images allow (Platt, 1999, "Probabilistic outputs for support vector
    machines", section 2.2): otherwise all images answered rightly would ask for no doubt at all.
    """
    if most is not None and len(labels) > most:
        kept = np.linspace(0, len(labels) - 1, most).astype(np.intp)
        probabilities, labels = probabilities[kept], labels[kept]
    logs = np.log(np.maximum(probabilities, _SMALLEST)).astype(np.float64)
    doubt = 1 / (len(labels) + 2)
    wanted = (1 - doubt) * logs[np.arange(len(labels)), labels].mean() + doubt * logs.mean()

    def slope(inverse: float) -> float:
        """Of the loss, which grows with the inverse of the temperature as it is convex in that."""
        answers = np.exp(inverse * logs - (inverse * logs).max(axis=1, keepdims=True))
        means = (answers * logs).sum(axis=1) / answers.sum(axis=1)
        return float(means.mean() - wanted)

    if (
        abs(slope(1.0)) < _FLAT
    ):  # so it is for answers that are all alike, too, which have no best temperature
        return 1.0
    if slope(1 / FLATTEST) >= 0:
        return FLATTEST
    if slope(1 / SHARPEST) <= 0:
        return SHARPEST
    return 1 / float(brentq(slope, 1 / FLATTEST, 1 / SHARPEST, xtol=1e-7))


def temper(probabilities: Probabilities, temperature: float) -> Probabilities:
    """``probabilities`` (N, K) at another temperature: above 1 they doubt more."""
    if temperature == 1:
        return probabilities
    logs = np.log(np.maximum(probabilities, _SMALLEST)) / np.float32(temperature)
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    found: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return found
