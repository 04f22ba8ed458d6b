"""The bootstrap against a slow one that asks the plain metrics, its edges, and its coverage on real training."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.winners_curse import coverage, true_curves
from convscout.services.evaluation.resampled_scores import SCORES, ClassifierAnswers
from convscout.services.evaluation.winners_curse import correct
from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import (
    Probabilities,
    accuracy,
    balanced_accuracy,
    calibration_error,
    macro_f1,
    nll,
    wilson_interval,
)
from convscout.trials.evaluation.qualities import QUALITIES

METRICS = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "nll": nll,
    "calibration_error": calibration_error,
}
RESAMPLES = 200


def classifiers(count: int, images: int, classes: int = 4) -> tuple[list[Probabilities], Labels]:
    """Made-up probabilities (N, K) of ``count`` classifiers, each a little better than the one before."""
    rng = np.random.default_rng(1)
    labels = rng.integers(classes, size=images)
    logits = rng.normal(size=(count, images, classes))
    logits[:, np.arange(images), labels] += 0.5 + np.arange(count)[:, None] / count
    odds = np.exp(logits)
    return list((odds / odds.sum(axis=2, keepdims=True)).astype(np.float32)), labels


def right_answers(right: np.ndarray) -> tuple[list[Probabilities], Labels]:
    """Classifiers that answer rightly where ``right`` (M, N) says so; all as sure as each other."""
    return [np.where(row[:, None], [0.1, 0.9], [0.9, 0.1]).astype(np.float32) for row in right], np.ones(
        right.shape[1], np.int64
    )


def together(answers: list[Probabilities], labels: Labels) -> ClassifierAnswers:
    return ClassifierAnswers.join([ClassifierAnswers.of(each, labels) for each in answers])


def slowly(answers: list[Probabilities], labels: Labels, objective: str) -> tuple[list[float], list[float]]:
    """Scores on the images left out, of who was best on those drawn and of the first, a resample at a time."""
    metric, sign = METRICS[objective], 1 if QUALITIES[objective].maximize else -1
    rng, found, first = np.random.default_rng(0), [], []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(labels), size=len(labels))
        unseen = np.setdiff1d(np.arange(len(labels)), drawn)
        ranks = [
            (round(sign * metric(each[drawn], labels[drawn]), 6), -nll(each[drawn], labels[drawn]), -index)
            for index, each in enumerate(answers)
        ]
        best = answers[ranks.index(max(ranks))]
        found.append(metric(best[unseen], labels[unseen]))
        first.append(metric(answers[0][unseen], labels[unseen]))
    return found, first


@pytest.mark.parametrize("objective", METRICS)
def test_it_finds_what_a_slow_bootstrap_finds(objective: str) -> None:
    answers, labels = classifiers(6, 70)
    found = correct(together(answers, labels), objective, RESAMPLES)
    assert found is not None and found.gain is not None
    best, first = map(np.array, slowly(answers, labels, objective))
    assert found.score.value == pytest.approx(best.mean(), abs=1e-5)
    low, high = np.quantile(best, [0.025, 0.975])
    if QUALITIES[objective].maximize:
        least = wilson_interval(best.mean() * 70, 70)
        low, high = min(low, least[0]), max(high, least[1])
    assert (found.score.low, found.score.high) == pytest.approx((low, high), abs=1e-5)
    gain = (best - first) * (1 if QUALITIES[objective].maximize else -1)
    assert found.gain.value == pytest.approx(gain.mean(), abs=1e-5)
    assert (found.gain.low, found.gain.high) == pytest.approx(np.quantile(gain, [0.025, 0.975]), abs=1e-5)


@pytest.mark.parametrize("objective", METRICS)
def test_scores_of_all_images_are_the_plain_metrics(objective: str) -> None:
    answers, labels = classifiers(3, 50, classes=60)  # so that some classes have no image
    weights = np.ones((1, 50), np.float32)
    sign = 1 if QUALITIES[objective].maximize else -1
    expected = [sign * METRICS[objective](each, labels) for each in answers]
    assert SCORES[objective](together(answers, labels))(weights)[0] == pytest.approx(expected, abs=1e-6)


def test_every_quality_can_be_corrected() -> None:
    assert set(SCORES) == set(QUALITIES)


def test_the_same_answers_give_the_same_figures() -> None:
    answers = together(*classifiers(5, 60))
    assert correct(answers, "accuracy") == correct(answers, "accuracy")


def test_the_figures_do_not_depend_on_how_many_resamples_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = together(*classifiers(5, 60))
    at_once = correct(answers, "balanced_accuracy", RESAMPLES)
    monkeypatch.setattr("convscout.services.evaluation.winners_curse._CELLS", 420)  # 7 at once
    assert correct(answers, "balanced_accuracy", RESAMPLES) == at_once


def test_the_best_of_equally_good_networks_is_worth_what_each_of_them_is() -> None:
    right = np.random.default_rng(2).random((40, 400)) < 0.7
    found = correct(together(*right_answers(right)), "accuracy")
    assert found is not None and found.gain is not None
    assert right.mean(axis=1).max() > 0.74
    assert found.score.value == pytest.approx(0.7, abs=0.02)
    assert found.gain.low < 0 < found.gain.high


def test_a_network_that_is_better_is_told_from_the_first() -> None:
    right = np.random.default_rng(2).random((3, 400)) < [[0.6], [0.6], [0.8]]
    found = correct(together(*right_answers(right)), "accuracy")
    assert found is not None and found.gain is not None
    assert found.gain.low > 0.05


def test_one_network_alone_has_the_ordinary_interval() -> None:
    right = np.arange(100)[None] < 80
    found = correct(together(*right_answers(right)), "accuracy")
    assert found is not None and found.gain is None
    low, high = wilson_interval(80, 100)
    assert found.score.value == pytest.approx(0.8)
    assert (found.score.low, found.score.high) == pytest.approx((low, high), abs=0.02)
    assert found.score.low < low + 1e-6 and found.score.high > high - 1e-6
    answers, labels = classifiers(1, 100)
    loss = correct(together(answers, labels), "nll")
    assert loss is not None and loss.score.low < loss.score.value < loss.score.high
    assert loss.score.value == pytest.approx(nll(answers[0], labels), abs=1e-5)


def test_networks_that_answer_alike_are_no_better_than_the_first() -> None:
    right = np.tile(np.arange(50) % 4 > 0, (6, 1))
    found = correct(together(*right_answers(right)), "accuracy")
    assert found is not None and found.gain is not None
    assert (found.gain.low, found.gain.value, found.gain.high) == (0, 0, 0)
    assert found.score.value == pytest.approx(right[0].mean(), abs=0.01)


def test_of_equals_the_more_likely_counts_as_the_best() -> None:
    answers, labels = right_answers(np.ones((2, 30), bool))
    surer = [answers[0], np.full_like(answers[0], [0.01, 0.99])]
    found = correct(together(surer, labels), "calibration_error")
    assert found is not None
    assert found.score.value == pytest.approx(0.01, abs=1e-6)
    tied = correct(together(surer, labels), "accuracy")
    assert tied is not None and tied.gain is not None and tied.gain.value == 0


@pytest.mark.parametrize(
    ("right", "bounds"), [(True, wilson_interval(25, 25)), (False, wilson_interval(0, 25))]
)
def test_the_interval_has_a_width_where_all_answers_are_right_or_wrong(
    right: bool, bounds: tuple[float, float]
) -> None:
    found = correct(together(*right_answers(np.full((3, 25), right))), "accuracy")
    assert found is not None
    assert found.score.value == float(right)
    assert (found.score.low, found.score.high) == pytest.approx(bounds)


def test_of_a_single_image_several_networks_cannot_be_judged() -> None:
    answers, labels = right_answers(np.array([[True], [False]]))
    assert correct(together(answers, labels), "accuracy") is None
    alone = correct(together(answers[:1], labels), "accuracy")
    assert alone is not None and alone.score.value == 1
    assert (alone.score.low, alone.score.high) == pytest.approx(wilson_interval(1, 1))


def test_two_images_are_enough_to_judge() -> None:
    found = correct(together(*right_answers(np.array([[True, False], [True, True]]))), "accuracy")
    assert found is not None and 0 <= found.score.low <= found.score.value <= found.score.high <= 1


def test_without_images_nothing_can_be_judged() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        ClassifierAnswers.of(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))


@pytest.mark.parametrize("networks", ["tabulated", "best tenth", "easy"])
def test_on_real_training_the_interval_holds_the_truth_and_the_naive_one_does_not(networks: str) -> None:
    """A quick part of ``python -m benchmarks.winners_curse``, whose whole result is in the repository."""
    found = coverage(true_curves()[networks], images=143, trials=30, studies=400, resamples=200)
    least = 0.95 - 1.96 * np.sqrt(0.95 * 0.05 / 400)  # of 400 studies, where the true coverage is 95 %
    assert found["coverage"] >= least
    # each trial's epoch was chosen by the same images, too, which answers of the best epochs alone cannot tell
    assert abs(found["optimism"]) < 0.6 * found["naive optimism"]
    assert found["naive optimism"] > 0.01
    assert found["width"] < 1.7 * found["naive width"] or networks == "easy"
    assert found["falsely told"] <= 0.025


def test_equally_good_networks_are_hardly_ever_told_from_each_other() -> None:
    alike = np.tile(true_curves()["best tenth"][:1], (20, 1))
    found = coverage(alike, images=300, trials=20, studies=400, resamples=200)
    assert found["falsely told"] == found["told"] <= 0.025
    assert found["coverage"] >= 0.95
