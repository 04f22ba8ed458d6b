"""McNemar's test: whether one classifier is better than another on the same images. Shapes: N images, K classes."""

from __future__ import annotations

import math
from statistics import NormalDist

from scipy.special import betainc

from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import PairedDifference, Probabilities


def paired_difference(
    probabilities: Probabilities, others: Probabilities, labels: Labels
) -> PairedDifference:
    """How much better ``probabilities`` (N, K) are than ``others`` (N, K) on images of ``labels`` (N,).

    Only images count that one of them alone answers rightly. The interval is that of Agresti & Min (2005), "Simple
    improved confidence intervals for comparing matched proportions", section 3; the test is McNemar's (1947), exact.
    """
    right, other = probabilities.argmax(axis=1) == labels, others.argmax(axis=1) == labels
    gained, lost, images = int((right & ~other).sum()), int((other & ~right).sum()), len(labels)
    a, b, n = gained + 0.5, lost + 0.5, images + 2
    centre = (a - b) / n
    spread = NormalDist().inv_cdf(0.975) * math.sqrt(a + b - (a - b) ** 2 / n) / n
    fewer, more = sorted((gained, lost))
    # how probable so few or fewer are: the binomial's tail as an incomplete beta function, at once for any number
    tail = float(betainc(more, fewer + 1, 0.5)) if more else 1.0
    return PairedDifference(
        difference=(gained - lost) / images,
        low=max(-1.0, centre - spread),
        high=min(1.0, centre + spread),
        p_value=min(1.0, 2 * tail),
    )
