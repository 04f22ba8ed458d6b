"""Temperature scaling (Guo et al., 2017, "On calibration of modern neural networks", section 4.2).

Answers are divided by one number before the softmax, which leaves their order as it is. It is fitted to the
validation images by Newton's method, in which the loss is convex in its inverse. Shapes: N images, K classes.
"""

from __future__ import annotations

import numpy as np

from trials.metrics import Probabilities
from trials.splits import Labels

SHARPEST, FLATTEST = 0.2, 5.0
_STEPS = 20
_SMALLEST = np.finfo(np.float32).tiny


def fitted_temperature(probabilities: Probabilities, labels: Labels, most: int | None = None) -> float:
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
    inverse = 1.0
    for _ in range(_STEPS):
        answers = np.exp(inverse * logs - (inverse * logs).max(axis=1, keepdims=True))
        answers /= answers.sum(axis=1, keepdims=True)
        means = (answers * logs).sum(axis=1)
        slope = means.mean() - wanted
        bend = ((answers * logs**2).sum(axis=1) - means**2).mean()
        if bend < 1e-12:  # answers that are all alike have no best temperature
            break
        before = inverse
        inverse = float(
            np.clip(inverse - slope / bend, max(1 / FLATTEST, inverse / 2), min(1 / SHARPEST, inverse * 2))
        )
        if abs(inverse - before) < 1e-6:
            break
    return 1 / inverse


def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """``probabilities`` (N, K) at another temperature: above 1 they doubt more."""
    if temperature == 1:
        return probabilities
    logs = np.log(np.maximum(probabilities, _SMALLEST)) / np.float32(temperature)
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    found: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return found
