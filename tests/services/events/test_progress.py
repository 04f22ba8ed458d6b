"""Progress adds up the events of a study."""

from __future__ import annotations

import pytest

from convscout.services.events.events import (
    EpochEnded,
    Notice,
    PauseStarted,
    PhaseStarted,
    TrialEnded,
    TrialEstimated,
    TrialStarted,
)
from convscout.services.events.progress import NUM_NOTICES, StudyProgress
from convscout.trials.config import TrialState
from tests.support.records import life, record, search_started


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
def progress(clock: Clock) -> StudyProgress:
    return StudyProgress(clock)


def test_running_trials_and_their_pace_are_summed(progress: StudyProgress) -> None:
    progress.apply(search_started())
    for number in (0, 1):
        for event in life(record(number, 0.5, 0.6, state=TrialState.COMPLETED))[:-1]:
            progress.apply(event)
    assert set(progress.running) == {0, 1}
    assert progress.images_per_s == 2000
    progress.apply(TrialEnded(trial=record(0, 0.5, 0.6, state=TrialState.COMPLETED)))
    assert set(progress.running) == {1}
    assert progress.images_per_s == 1000


def test_a_trial_is_timed_by_others_then_by_its_first_steps_then_by_its_epochs(
    progress: StudyProgress, clock: Clock
) -> None:
    started = record(0)
    assert progress.trial_eta_s(started) is None
    progress.apply(TrialStarted(trial=started, epoch_s=4.0))
    assert progress.trial_eta_s(started) == 40
    clock.now += 3
    assert progress.trial_eta_s(started) == 37
    progress.apply(TrialEstimated(trial=started, epoch_s=6.0))
    assert progress.trial_eta_s(started) == 57
    clock.now += 2
    later = record(0, 0.5)  # whose epoch took a second
    progress.apply(EpochEnded(trial=later, measurement=later.measurements[-1]))
    assert progress.trial_eta_s(later) == 9
    clock.now += 60
    assert progress.trial_eta_s(later) == 0


def test_the_ranking_takes_each_trials_best_epoch_and_leaves_out_the_failed(progress: StudyProgress) -> None:
    endings = [
        record(0, 0.9, 0.7, state=TrialState.COMPLETED),
        record(1, 0.8, state=TrialState.STOPPED),
        record(2, 0.99, state=TrialState.FAILED),
        record(3, state=TrialState.REJECTED),
    ]
    for ended in endings:
        for event in life(ended):
            progress.apply(event)
    assert [trial.number for trial in progress.ranking] == [0, 1]
    assert progress.counts[TrialState.FAILED] == progress.counts[TrialState.REJECTED] == 1


def test_time_left_counts_down_and_never_below_zero(progress: StudyProgress, clock: Clock) -> None:
    clock.now += 10
    progress.apply(search_started(deadline_s=60))
    clock.now += 20
    assert (progress.elapsed_s, progress.left_s) == (30, 40)
    clock.now += 100
    assert progress.left_s == 0


def test_the_estimate_is_the_earlier_of_deadline_and_pace(progress: StudyProgress, clock: Clock) -> None:
    progress.apply(search_started(trials=4, deadline_s=1000))
    assert progress.eta_s == 1000
    clock.now += 10
    for event in life(record(0, 0.5, state=TrialState.COMPLETED)):
        progress.apply(event)
    assert progress.eta_s == 30
    progress.apply(TrialEnded(trial=record(1, state=TrialState.REJECTED)))
    assert progress.eta_s == 30  # a rejected trial costs nothing of the budget


def test_nothing_bounds_the_estimate_of_an_open_search(progress: StudyProgress) -> None:
    progress.apply(search_started(trials=None, deadline_s=None))
    assert progress.eta_s is None


def test_the_last_notices_are_kept_and_a_phase_replaces_the_one_before(progress: StudyProgress) -> None:
    for number in range(5):
        progress.apply(Notice(text=f"notice {number}"))
        progress.apply(PhaseStarted(phase="export", detail=str(number)))
    assert progress.notices == ["notice 2", "notice 3", "notice 4"]
    assert progress.phase == PhaseStarted(phase="export", detail="4")


def test_a_study_pauses_whatever_is_told_after_it_was_asked_to() -> None:
    progress = StudyProgress()
    assert not progress.pausing
    progress.apply(PauseStarted())
    assert progress.notices == ["pausing: each running trial ends its epoch first"]
    for number in range(NUM_NOTICES):
        progress.apply(Notice(text=f"notice {number}"))
    assert progress.pausing and not any("pausing" in text for text in progress.notices)
