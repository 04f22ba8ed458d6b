"""The board adds up what the events of a study say."""

from __future__ import annotations

import pytest

from services.board import Board
from services.events import EpochEnded, Notice, PhaseStarted, TrialEnded, TrialEstimated, TrialStarted
from tests.services.records import life, record, search_started
from trials.config import TrialState


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(clock)


def test_running_trials_and_their_pace_are_summed(board: Board) -> None:
    board.apply(search_started())
    for number in (0, 1):
        for event in life(record(number, 0.5, 0.6, state=TrialState.COMPLETED))[:-1]:
            board.apply(event)
    assert set(board.running) == {0, 1}
    assert board.images_per_s == 2000
    board.apply(TrialEnded(trial=record(0, 0.5, 0.6, state=TrialState.COMPLETED)))
    assert set(board.running) == {1}
    assert board.images_per_s == 1000


def test_a_trial_is_timed_by_others_then_by_its_first_steps_then_by_its_epochs(
    board: Board, clock: Clock
) -> None:
    started = record(0)
    assert board.trial_eta_s(started) is None
    board.apply(TrialStarted(trial=started, epoch_s=4.0))
    assert board.trial_eta_s(started) == 40
    clock.now += 3
    assert board.trial_eta_s(started) == 37
    board.apply(TrialEstimated(trial=started, epoch_s=6.0))
    assert board.trial_eta_s(started) == 57
    clock.now += 2
    later = record(0, 0.5)  # whose epoch took a second
    board.apply(EpochEnded(trial=later, measurement=later.measurements[-1]))
    assert board.trial_eta_s(later) == 9
    clock.now += 60
    assert board.trial_eta_s(later) == 0


def test_the_ranking_takes_each_trials_best_epoch_and_leaves_out_the_failed(board: Board) -> None:
    endings = [
        record(0, 0.9, 0.7, state=TrialState.COMPLETED),
        record(1, 0.8, state=TrialState.STOPPED),
        record(2, 0.99, state=TrialState.FAILED),
        record(3, state=TrialState.REJECTED),
    ]
    for ended in endings:
        for event in life(ended):
            board.apply(event)
    assert [trial.number for trial in board.ranking] == [0, 1]
    assert board.counts[TrialState.FAILED] == board.counts[TrialState.REJECTED] == 1


def test_time_left_counts_down_and_never_below_zero(board: Board, clock: Clock) -> None:
    clock.now += 10
    board.apply(search_started(deadline_s=60))
    clock.now += 20
    assert (board.elapsed_s, board.left_s) == (30, 40)
    clock.now += 100
    assert board.left_s == 0


def test_the_estimate_is_the_earlier_of_deadline_and_pace(board: Board, clock: Clock) -> None:
    board.apply(search_started(trials=4, deadline_s=1000))
    assert board.eta_s == 1000
    clock.now += 10
    for event in life(record(0, 0.5, state=TrialState.COMPLETED)):
        board.apply(event)
    assert board.eta_s == 30
    board.apply(TrialEnded(trial=record(1, state=TrialState.REJECTED)))
    assert board.eta_s == 30  # a rejected trial costs nothing of the budget


def test_nothing_bounds_the_estimate_of_an_open_search(board: Board) -> None:
    board.apply(search_started(trials=None, deadline_s=None))
    assert board.eta_s is None


def test_the_last_notices_are_kept_and_a_phase_replaces_the_one_before(board: Board) -> None:
    for number in range(5):
        board.apply(Notice(text=f"notice {number}"))
        board.apply(PhaseStarted(phase="export", detail=str(number)))
    assert board.notices == ["notice 2", "notice 3", "notice 4"]
    assert board.phase == PhaseStarted(phase="export", detail="4")
