"""Evaluation: what a classifier's answers to labelled images are worth, as a whole and class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import (
    Probabilities,
    accuracy,
    balanced_accuracy,
    brier_score,
    calibration_error,
    confusion_matrix,
    macro_f1,
    nll,
    wilson_interval,
)


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """Of one class: its ``images``, the share of them that is found, and the share of what is called so that is it.

    Either share is None where there is nothing to divide by.
    """

    name: str
    images: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Of answers to ``images`` images. ``low`` and ``high`` bound the accuracy at 95 % (Wilson); ``nll`` is in nats.

    ``confusion`` counts how often the class of a row was answered as that of a column.
    """

    images: int
    accuracy: float
    low: float
    high: float
    balanced_accuracy: float
    macro_f1: float
    nll: float
    brier: float
    calibration_error: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, answers: Probabilities, labels: Labels, class_names: Sequence[str]) -> Evaluation:
        """Of ``answers`` (N, K) to images of ``labels`` (N,)."""
        share = accuracy(answers, labels)
        low, high = wilson_interval(round(share * len(labels)), len(labels))
        counts = confusion_matrix(answers, labels)
        return cls(
            images=len(labels),
            accuracy=share,
            low=low,
            high=high,
            balanced_accuracy=balanced_accuracy(answers, labels),
            macro_f1=macro_f1(answers, labels),
            nll=nll(answers, labels),
            brier=brier_score(answers, labels),
            calibration_error=calibration_error(answers, labels),
            classes=tuple(
                ClassScore(
                    name=name,
                    images=int(counts[index].sum()),
                    recall=_share(counts[index, index], counts[index].sum()),
                    precision=_share(counts[index, index], counts[:, index].sum()),
                )
                for index, name in enumerate(class_names)
            ),
            confusion=tuple(tuple(map(int, row)) for row in counts),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None
