"""Scores of many classifiers on resampled images, all at once.

Shapes: M classifiers, N images, K classes, G groups of images, B resamples. A resample is a row of weights (N,): how
often each image was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import CALIBRATION_BINS, Probabilities, calibration_bins, log_losses

Floats: TypeAlias = npt.NDArray[np.float32]

Scores: TypeAlias = Callable[[Floats], Floats]
"""From the weights of images (B, N) to the scores of classifiers (B, M); more is better."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassifierAnswers:
    """What M classifiers answer to N images of ``labels`` (N,): all that a score needs of their probabilities.

    ``classes`` (M, N) are the most probable ones, ``confidences`` (M, N) their probabilities, and ``losses`` (M, N)
    the log losses of the labels, in nats.
    """

    classes: npt.NDArray[np.int32]
    confidences: Floats
    losses: Floats
    labels: Labels
    num_classes: int

    @classmethod
    def of(cls, probabilities: Probabilities, labels: Labels) -> Self:
        """Of one classifier with ``probabilities`` (N, K). Raises ``ValueError`` where there is no image."""
        if not len(labels):
            raise ValueError("scores need at least one image")
        losses = log_losses(probabilities[np.arange(len(labels)), labels])
        return cls(
            classes=probabilities.argmax(axis=1).astype(np.int32)[None],
            confidences=probabilities.max(axis=1)[None],
            losses=losses.astype(np.float32)[None],
            labels=labels,
            num_classes=probabilities.shape[1],
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Of all classifiers of ``parts``, at least one, which answer to the same images."""
        return replace(
            parts[0],
            classes=np.concatenate([part.classes for part in parts]),
            confidences=np.concatenate([part.confidences for part in parts]),
            losses=np.concatenate([part.losses for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def right(self) -> Floats:
        """1 where a classifier answers an image rightly, else 0 (M, N)."""
        right: Floats = (self.classes == self.labels).astype(np.float32)
        return right


def likelihood(answers: ClassifierAnswers) -> Scores:
    """The negative mean log loss."""
    return _Mean(-answers.losses)


def _accuracy(answers: ClassifierAnswers) -> Scores:
    return _Mean(answers.right)


def _balanced_accuracy(answers: ClassifierAnswers) -> Scores:
    images, right = _class_sums(answers), _GroupSums(answers.right, answers.labels, answers.num_classes)

    def scores(weights: Floats) -> Floats:
        total = images(weights)  # (B, 1, K)
        recalls = right(weights) / np.maximum(total, 1)
        return recalls.sum(axis=2) / (total > 0).sum(axis=2)  # type: ignore[no-any-return]

    return scores


def _macro_f1(answers: ClassifierAnswers) -> Scores:
    images, right = _class_sums(answers), _GroupSums(answers.right, answers.labels, answers.num_classes)
    answered = _GroupSums(np.ones_like(answers.losses), answers.classes, answers.num_classes)

    def scores(weights: Floats) -> Floats:
        total = images(weights)  # (B, 1, K)
        each = 2 * right(weights) / np.maximum(total + answered(weights), 1)
        return np.where(total > 0, each, 0).sum(axis=2) / (total > 0).sum(axis=2)  # type: ignore[no-any-return]

    return scores


def _calibration(answers: ClassifierAnswers) -> Scores:
    bins = calibration_bins(answers.confidences)
    gaps = _GroupSums(answers.right - answers.confidences, bins, CALIBRATION_BINS)

    def scores(weights: Floats) -> Floats:
        summed = np.abs(gaps(weights)).sum(axis=2)
        return -summed / weights.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    return scores


SCORES: Mapping[str, Callable[[ClassifierAnswers], Scores]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "nll": likelihood,
    "calibration_error": _calibration,
}
"""The qualities of ``trials/evaluation/qualities.py``, turned so that more is better."""


def _class_sums(answers: ClassifierAnswers) -> _GroupSums:
    """How many images of each class there are in a resample (B, 1, K)."""
    return _GroupSums(
        np.ones((1, len(answers.labels)), np.float32), answers.labels[None], answers.num_classes
    )


class _Mean:
    """The mean of ``values`` (M, N) over weighted images."""

    def __init__(self, values: Floats) -> None:
        self._values = values

    def __call__(self, weights: Floats) -> Floats:
        # sums of so many ones are exact in float32, so that equal classifiers stay equal
        return (weights @ self._values.T) / weights.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


class _GroupSums:
    """Sums of ``values`` (M, N) over weighted images (B, N), for each of ``count`` ``groups`` (M, N) or (N,) apart."""

    def __init__(self, values: Floats, groups: npt.NDArray[np.integer], count: int) -> None:
        rows, images = values.shape
        cells = np.arange(rows)[:, None] * count + groups  # (M, N)
        places = np.arange(images + 1) * rows
        self._shape = rows, count
        # each classifier puts an image into one group, so of the M × G sums an image is part of M
        self._values = csr_array(
            (values.T.ravel(), cells.T.ravel().astype(np.int32), places), shape=(images, rows * count)
        )

    def __call__(self, weights: Floats) -> Floats:
        """The sums (B, M, G)."""
        return (weights @ self._values).reshape(len(weights), *self._shape)  # type: ignore[no-any-return]
