"""What the best trial is worth once its choice is taken into account, and how a person is told."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from convscout.services.evaluation.winner_judging import judge_winner
from convscout.services.evaluation.winner_score import WinnerScore, correction_figures, correction_texts
from convscout.trials.evaluation.metrics import IntervalEstimate, Probabilities

LABELS = np.zeros(200, np.int64)
WINNER = WinnerScore(
    objective="balanced_accuracy",
    trials=30,
    images=143,
    score=IntervalEstimate(value=0.91, low=0.85, high=0.955),
    first=0,
    gain=IntervalEstimate(value=0.01, low=-0.02, high=0.03),
)
UNSEEN = IntervalEstimate(value=0.93, low=0.88, high=0.96)


def answers(share: float, seed: int) -> Probabilities:
    """Of a network that answers about such a ``share`` of the images rightly (N, 2)."""
    right = np.random.default_rng(seed).random(len(LABELS)) < share
    return np.where(right[:, None], [0.8, 0.2], [0.2, 0.8]).astype(np.float32)


def test_the_winner_is_compared_with_the_first_trial() -> None:
    told = [(2, answers(0.6, 0)), (5, answers(0.9, 1)), (8, answers(0.6, 2))]
    found = judge_winner(told, LABELS, "accuracy", best=5, first=2)
    assert found is not None and found.gain is not None
    assert (found.trials, found.images, found.first) == (3, 200, 2)
    assert found.score.low < 0.9 < found.score.high
    assert 0 < found.gain.low < 0.3 < found.gain.high
    assert found.warning == ""


@pytest.mark.parametrize(
    ("best", "first"), [(2, 2), (5, 0)], ids=["the winner is the first", "the first's answers are gone"]
)
def test_there_is_no_comparison_where(best: int, first: int) -> None:
    found = judge_winner(
        [(2, answers(0.6, 0)), (5, answers(0.6, 1))], LABELS, "accuracy", best=best, first=first
    )
    assert found is not None
    assert (found.first, found.gain, found.warning) == (None, None, "")


def test_nothing_is_said_of_a_winner_whose_answers_are_gone() -> None:
    assert judge_winner([(2, answers(0.6, 0))], LABELS, "accuracy", best=5, first=2) is None
    assert judge_winner([], LABELS, "accuracy", best=5, first=2) is None


def test_it_is_kept_as_json() -> None:
    for each in (WINNER, replace(WINNER, first=None, gain=None)):
        assert WinnerScore.from_dict(json.loads(json.dumps(asdict(each)))) == each


def test_a_person_is_told_what_the_choice_does_to_the_scores() -> None:
    assert correction_texts(WINNER, UNSEEN) == [
        "best single, corrected for its choice among 30 trials: validation balanced accuracy 91.00% "
        "(95 %: 85.00% to 95.50%)",
        "ensemble, on validation images that its selection had not seen: accuracy 93.00% (95 %: 88.00% to 96.00%)",
        "the best trial cannot be told from the first (trial 0) on 143 validation images: more images, not more "
        "trials, would show a difference",
    ]


def test_there_is_no_warning_where_the_winner_is_better_than_the_first() -> None:
    better = replace(WINNER, gain=IntervalEstimate(value=0.02, low=0.001, high=0.04))
    assert better.warning == ""
    assert len(correction_texts(better, None)) == 1


def test_there_is_nothing_to_tell_of_one_trial_or_an_earlier_study() -> None:
    alone = replace(WINNER, trials=1, first=None, gain=None)
    assert correction_texts(alone, None) == correction_texts(None, None) == []
    assert list(correction_figures(None, None)) == []


def test_programs_are_told_numbers() -> None:
    assert list(correction_figures(WINNER, UNSEEN)) == [
        ("best single", "balanced_accuracy_corrected", 0.91),
        ("best single", "balanced_accuracy_corrected_low", 0.85),
        ("best single", "balanced_accuracy_corrected_high", 0.955),
        ("ensemble", "accuracy_unseen", 0.93),
        ("ensemble", "accuracy_unseen_low", 0.88),
        ("ensemble", "accuracy_unseen_high", 0.96),
    ]
