"""What class probabilities are worth. Shapes: N images, K classes."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from trials.splits import Labels

Probabilities = npt.NDArray[np.float32]

_SMALLEST = np.finfo(np.float32).tiny  # the log of a probability is cut off here


def accuracy(probabilities: Probabilities, labels: Labels) -> float:
    """Share of images whose most probable class is their label: (N, K), (N,) → [0, 1].

    Of equally probable classes the first is the answer.
    """
    return float((probabilities.argmax(axis=1) == labels).mean())


def nll(probabilities: Probabilities, labels: Labels) -> float:
    """Mean negative log likelihood of the labels, in nats: (N, K), (N,) → [0, 87.3]."""
    return float(log_losses(probabilities[np.arange(len(labels)), labels]).mean())


def log_losses(likelihoods: Probabilities) -> npt.NDArray[np.float64]:
    """-log p, in nats, of the probabilities given to the true classes; p = 0 counts as float32's smallest normal."""
    return -np.log(np.maximum(likelihoods, _SMALLEST), dtype=np.float64)


def confusion_matrix(probabilities: Probabilities, labels: Labels) -> npt.NDArray[np.int64]:
    """How often class ``row`` was answered as class ``column``: (N, K), (N,) → (K, K) counts."""
    num_classes = probabilities.shape[1]
    cells = labels * num_classes + probabilities.argmax(axis=1)  # (N,)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)  # (K, K)


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bounds of the share that ``correct`` of ``total`` estimates, at the two-sided ``confidence``.

    The score interval of Wilson (1927), "Probable inference, the law of succession, and statistical
    inference": unlike the normal approximation it holds its level near 0 and 1 and for small totals.
    Raises ``ValueError`` unless 0 <= correct <= total, total >= 1 and 0 < confidence < 1.
    """
    if not (0 <= correct <= total and total >= 1 and 0 < confidence < 1):
        raise ValueError(f"no interval for {correct} of {total} at confidence {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / total
    center = share + z**2 / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)
