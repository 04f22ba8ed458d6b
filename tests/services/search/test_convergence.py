"""What more trials are expected to gain is told well enough to stop by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convscout.services.search.convergence import LEAST_TRIALS, outlook


def test_few_trials_tell_nothing() -> None:
    assert outlook([0.5] * (LEAST_TRIALS - 1), 1000) is None


def test_the_expected_gain_is_that_of_an_exponential_tail() -> None:
    rng = np.random.default_rng(0)
    scale, trials = 0.01, 200
    expected, seen = [], []
    for _ in range(400):
        draws = 0.8 + rng.exponential(scale, 2 * trials)
        found = outlook(list(draws[:trials]), 10_000)
        assert found is not None
        expected.append(found.gain)
        seen.append(draws.max() - draws[:trials].max())
    assert np.mean(expected) == pytest.approx(scale * math.log(2), rel=0.05)
    assert np.mean(expected) == pytest.approx(np.mean(seen), rel=0.2)


def test_a_search_converges_when_noise_exceeds_the_gain() -> None:
    accuracies = [0.9 - 0.001 * rank for rank in range(40)]
    few, many = outlook(accuracies, 1_000), outlook(accuracies, 1_000_000)
    assert few and few.converged  # gains of tenths of a point, noise of about one
    assert many and not many.converged
    assert "points" in str(few)


def test_images_that_are_all_answered_rightly_leave_noise() -> None:
    found = outlook([1.0] * 30, 143)
    assert found and found.gain == 0 and found.noise > 0 and found.converged


def test_a_target_takes_more_trials_the_farther_it_is() -> None:
    found = outlook([0.9 - 0.001 * rank for rank in range(40)], 1_000)
    assert found
    assert found.trials_until(0.9) == 0 < found.trials_until(0.91) < found.trials_until(0.92)
    assert found.trials_until(found.best + found.gain) == pytest.approx(found.trials)
    assert math.isinf(outlook([0.9] * 30, 1_000).trials_until(0.95))  # type: ignore[union-attr]
