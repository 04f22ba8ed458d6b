"""Metrics agree with scikit-learn, torch and published values."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
import torch
from scipy.stats import binomtest

from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import (
    Probabilities,
    accuracy,
    balanced_accuracy,
    brier_score,
    calibration_error,
    confusion_matrix,
    log_losses,
    macro_f1,
    nll,
    wilson_interval,
)
from convscout.trials.evaluation.paired_test import paired_difference


@pytest.fixture
def answers() -> tuple[Probabilities, Labels]:
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(5), size=200).astype(np.float32), rng.integers(5, size=200)


def test_metrics_agree_with_other_libraries(answers: tuple[Probabilities, Labels]) -> None:
    probabilities, labels = answers
    predicted = probabilities.argmax(axis=1)
    assert accuracy(probabilities, labels) == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))
    assert balanced_accuracy(probabilities, labels) == pytest.approx(
        sklearn.metrics.balanced_accuracy_score(labels, predicted)
    )
    assert macro_f1(probabilities, labels) == pytest.approx(
        sklearn.metrics.f1_score(labels, predicted, average="macro")
    )
    log = torch.from_numpy(probabilities).log()
    expected = torch.nn.functional.nll_loss(log, torch.from_numpy(labels)).item()
    assert nll(probabilities, labels) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(
        confusion_matrix(probabilities, labels), sklearn.metrics.confusion_matrix(labels, predicted)
    )


def test_classes_that_never_occur_keep_their_row_and_column() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]], dtype=np.float32)
    matrix = confusion_matrix(probabilities, np.array([0, 1]))
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [1, 0, 0], [0, 0, 0]])


def test_a_probability_of_zero_has_a_finite_loss() -> None:
    loss = log_losses(np.zeros(1, dtype=np.float32))
    assert loss[0] == pytest.approx(126 * np.log(2), rel=1e-6)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [  # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_has_the_published_values(correct: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_mirrors_and_narrows() -> None:
    low, high = wilson_interval(3, 40)
    assert wilson_interval(37, 40) == pytest.approx((1 - high, 1 - low))
    assert wilson_interval(40, 40)[1] == pytest.approx(1)
    wide, narrow = wilson_interval(90, 100, confidence=0.99), wilson_interval(90, 100, confidence=0.9)
    assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]


@pytest.mark.parametrize(
    ("correct", "total", "confidence"), [(1, 0, 0.95), (5, 4, 0.95), (-1, 4, 0.95), (1, 4, 1.0)]
)
def test_wilson_interval_refuses_nonsense(correct: int, total: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="no interval"):
        wilson_interval(correct, total, confidence)


def test_classes_without_an_image_do_not_count() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 0, 2]]
    labels = np.array([0, 1, 1, 1])
    assert balanced_accuracy(probabilities, labels) == pytest.approx((1 + 1 / 3) / 2)
    assert macro_f1(probabilities, labels) == pytest.approx((2 / 3 + 2 / 4) / 2)


def test_the_calibration_error_by_hand() -> None:
    # confident and always right; sure of a half and right a quarter of the time
    probabilities = np.array([[1.0, 0.0]] * 4 + [[0.55, 0.45]] * 4, dtype=np.float32)
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    assert calibration_error(probabilities, labels) == pytest.approx((0.55 - 0.25) / 2, abs=1e-6)


def test_the_brier_score_is_the_distance_from_the_truth(answers: tuple[Probabilities, Labels]) -> None:
    probabilities, labels = answers
    expected = ((probabilities - np.eye(5)[labels]) ** 2).sum(axis=1).mean()
    assert brier_score(probabilities, labels) == pytest.approx(expected)
    assert brier_score(np.eye(2, dtype=np.float32), np.array([1, 0])) == 2


def _answering(right: list[bool]) -> Probabilities:
    return np.eye(2, dtype=np.float32)[[int(not each) for each in right]]


@pytest.mark.parametrize(
    ("gained", "lost", "same"),
    [(12, 3, 100), (3, 12, 100), (0, 0, 50), (40, 40, 20), (900, 700, 8400), (1, 999, 0), (60500, 59500, 9)],
)
def test_a_difference_of_two_on_the_same_images(gained: int, lost: int, same: int) -> None:
    ours = _answering([True] * gained + [False] * lost + [True] * same)
    others = _answering([False] * gained + [True] * lost + [True] * same)
    labels = np.zeros(gained + lost + same, dtype=np.int64)
    found = paired_difference(ours, others, labels)
    assert found.difference == pytest.approx((gained - lost) / len(labels))
    assert found.low <= found.difference <= found.high or gained == lost == 0
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-12)
    mirrored = paired_difference(others, ours, labels)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_the_interval_of_a_difference_holds_what_it_promises() -> None:
    """Of 95 % intervals about 95 % hold the truth, also where few images differ."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        kind = rng.choice(3, size=300, p=[0.06, 0.02, 0.92])  # gained, lost, the same
        ours, others = _answering(list(kind != 1)), _answering(list(kind != 0))
        found = paired_difference(ours, others, np.zeros(300, dtype=np.int64))
        held += found.low <= 0.04 <= found.high
    assert 0.92 <= held / 400 <= 0.985
