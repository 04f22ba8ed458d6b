"""What class probabilities are worth. Shapes: N images, K classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from convscout.trials.data.splits import Labels

Probabilities = npt.NDArray[np.float32]

CALIBRATION_BINS = 15
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


def balanced_accuracy(probabilities: Probabilities, labels: Labels) -> float:
    """Mean over the classes of the share of their images that is answered rightly: (N, K), (N,) → [0, 1].

    Classes without an image count nothing.
    """
    counts = confusion_matrix(probabilities, labels)
    images = counts.sum(axis=1)  # (K,)
    return float((counts.diagonal()[images > 0] / images[images > 0]).mean())


def macro_f1(probabilities: Probabilities, labels: Labels) -> float:
    """Mean over the classes of the harmonic mean of precision and recall: (N, K), (N,) → [0, 1].

    Classes without an image count nothing; one that is never answered rightly counts 0.
    """
    counts = confusion_matrix(probabilities, labels)
    images, answers = counts.sum(axis=1), counts.sum(axis=0)  # (K,) each
    scores = 2 * counts.diagonal() / np.maximum(images + answers, 1)
    return float(scores[images > 0].mean())


def calibration_error(probabilities: Probabilities, labels: Labels, bins: int = CALIBRATION_BINS) -> float:
    """By how much confidence and accuracy differ on average: (N, K), (N,) → [0, 1].

    The expected calibration error of Guo et al. (2017), "On calibration of modern neural networks", section
    2, in ``bins`` of equal width.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)  # (N,)
    right = probabilities.argmax(axis=1) == labels
    bin_of = calibration_bins(confidence, bins)
    gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)  # (bins,) summed differences
    return float(np.abs(gaps).sum() / len(labels))


def calibration_bins(
    confidences: npt.NDArray[np.floating], bins: int = CALIBRATION_BINS
) -> npt.NDArray[np.int64]:
    """Which of ``bins`` of equal width in [0, 1] each of ``confidences`` lies in; the same shape."""
    return np.minimum((confidences.astype(np.float64) * bins).astype(np.int64), bins - 1)


def brier_score(probabilities: Probabilities, labels: Labels) -> float:
    """Mean squared distance of the probabilities from the truth: (N, K), (N,) → [0, 2] (Brier, 1950)."""
    distances = probabilities.astype(np.float64)
    distances[np.arange(len(labels)), labels] -= 1
    return float((distances**2).sum(axis=1).mean())


def confusion_matrix(probabilities: Probabilities, labels: Labels) -> npt.NDArray[np.int64]:
    """How often class ``row`` was answered as class ``column``: (N, K), (N,) → (K, K) counts."""
    num_classes = probabilities.shape[1]
    cells = labels * num_classes + probabilities.argmax(axis=1)  # (N,)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)  # (K, K)


@dataclass(frozen=True, kw_only=True)
class IntervalEstimate:
    """What is known of a number: its ``value``, which lies between ``low`` and ``high`` with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """By how much one classifier answers a larger share of the same images rightly than another.

    ``low`` and ``high`` bound ``difference`` at 95 %; ``p_value`` is of McNemar's exact test of both being as good.
    """

    difference: float
    low: float
    high: float
    p_value: float


def wilson_interval(correct: float, total: int, confidence: float = 0.95) -> tuple[float, float]:
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
