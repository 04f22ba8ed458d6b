"""The winner's curse: the best of many on some images is worth less than it scored there, because it was chosen there.

The choice is repeated on bootstrap resamples of the images, and what it chose is judged by the images that the resample
left out: BBC-CV of Tsamardinos, Greasidou & Borboudakis (2018), "Bootstrapping the out-of-sample predictions for
efficient and accurate cross-validation", Machine Learning 107, section 4. It needs the answers to the images alone.

Shapes: M classifiers, N images, B resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convscout.services.evaluation.resampled_scores import (
    SCORES,
    ClassifierAnswers,
    Floats,
    Scores,
    likelihood,
)
from convscout.trials.evaluation.metrics import IntervalEstimate, wilson_interval
from convscout.trials.evaluation.qualities import QUALITIES

RESAMPLES = 1_000
_SEED = 0  # the same answers give the same figures
_CELLS = 1 << 22  # numbers that an array of a step holds: 16 MiB of float32
_LEVEL = (0.025, 0.975)  # bounds of 95 %


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """``score`` is what the best of many is truly worth, ``gain`` by how much more than the first of them.

    A gain is positive where the best is better, whatever the quality; there is none of one classifier alone.
    """

    score: IntervalEstimate
    gain: IntervalEstimate | None


def correct(answers: ClassifierAnswers, objective: str, resamples: int = RESAMPLES) -> Corrected | None:
    """What the best of ``answers`` by the quality ``objective`` is truly worth, with bounds of 95 %.

    Of equals the one of the higher likelihood counts as best, then the first, as in a search. The bounds are
    percentiles over the resamples, as in the paper. For accuracies and F1 they are no narrower than Wilson's: where
    nearly all answers are right, resamples hardly differ, although the truth may. One classifier alone was not chosen
    among others, so its interval is the ordinary one of its score. None where no resample leaves an image out, as with
    a single image.

    A calibration error is larger on fewer images, and a resample leaves out 37 % of them: its estimate is cautious.
    """
    score, images = SCORES[objective](answers), len(answers.labels)
    if len(answers) == 1:
        everything = np.ones((1, images), np.float32)
        drawn = np.concatenate([score(weights)[:, 0] for weights in _draw(answers, resamples)])
        return Corrected(
            score=_estimate(drawn, objective, images, value=float(score(everything)[0, 0])), gain=None
        )
    likelihoods = likelihood(answers)
    found = [_judge(score, likelihoods, weights) for weights in _draw(answers, resamples)]
    best, first = np.concatenate(found, axis=1)  # (B,) each
    if not len(best):
        return None
    return Corrected(score=_estimate(best, objective, images), gain=_percentiles(best - first))


def _judge(score: Scores, likelihoods: Scores, weights: Floats) -> npt.NDArray[np.float64]:
    """Of resamples (B, N) that left images out, the scores there of what they chose and of the first (2, B)."""
    left_out = (weights == 0).astype(np.float32)
    usable = left_out.any(axis=1)
    weights, left_out = weights[usable], left_out[usable]
    chosen = _best_of(score(weights), likelihoods(weights))
    unseen = score(left_out)
    return np.stack([unseen[np.arange(len(chosen)), chosen], unseen[:, 0]]).astype(np.float64)


def _best_of(scores: Floats, likelihoods: Floats) -> npt.NDArray[np.intp]:
    """The index of the best in each row (B, M), of equals that of the highest likelihood, then the first (B,)."""
    highest = scores == scores.max(axis=1, keepdims=True)
    found: npt.NDArray[np.intp] = np.where(highest, likelihoods, -np.inf).argmax(axis=1)
    return found


def _draw(answers: ClassifierAnswers, resamples: int) -> Iterator[Floats]:
    """Weights of images (B, N) of all ``resamples``, a few at a time."""
    rng = np.random.default_rng(_SEED)
    images = len(answers.labels)
    step = max(1, _CELLS // max(images, len(answers) * answers.num_classes))
    for begin in range(0, resamples, step):
        rows = min(step, resamples - begin)
        drawn = rng.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float32)


def _estimate(
    utilities: npt.NDArray[np.floating], objective: str, images: int, value: float | None = None
) -> IntervalEstimate:
    """What ``utilities`` (B,) come to, in units of the ``objective``; ``value`` is their centre, if not the mean."""
    found = _percentiles(utilities, value)
    if not QUALITIES[objective].maximize:
        return IntervalEstimate(value=-found.value, low=-found.high, high=-found.low)
    # qualities to maximize are shares of right answers
    low, high = wilson_interval(found.value * images, images)
    return IntervalEstimate(value=found.value, low=min(low, found.low), high=max(high, found.high))


def _percentiles(values: npt.NDArray[np.floating], value: float | None = None) -> IntervalEstimate:
    low, high = np.quantile(values, _LEVEL)
    return IntervalEstimate(
        value=float(values.mean()) if value is None else value, low=float(low), high=float(high)
    )
