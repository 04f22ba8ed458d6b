"""What the first steps of a trial tell decides whether it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from convscout.services.events.events import TrialEnded, TrialEstimated, TrialStarted
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.records import measurement
from tests.support.untrained_study import EPOCHS, UntrainedStudy


@pytest.fixture
def study(tmp_path: Path) -> UntrainedStudy:
    return UntrainedStudy(tmp_path)


def test_a_trial_that_fits_goes_on_and_times_the_next(study: UntrainedStudy) -> None:
    assert study.search.next_dispatch()
    assert study.search.on_estimate(0, 1, 10.0)
    assert study.search.next_dispatch()
    kinds = (TrialStarted, TrialEstimated)
    told = [each.epoch_s for each in study.events if isinstance(each, kinds)]
    assert told[:2] == [None, 10.0]
    assert told[2] is not None and told[2] >= 10.0


def test_a_trial_is_not_stopped_for_a_forecast_while_there_is_nothing_better(study: UntrainedStudy) -> None:
    dispatch = study.search.next_dispatch()
    assert dispatch and dispatch.config.recipe.epochs == EPOCHS
    assert study.search.on_estimate(0, 1, 4000.0)


def test_once_there_is_a_model_a_trial_is_stopped_whose_first_rung_would_not_end_in_time(
    study: UntrainedStudy,
) -> None:
    study.complete_one()
    assert study.search.next_dispatch()
    assert not study.search.on_estimate(1, 1, 400.0)
    last = study.events[-1]
    assert isinstance(last, TrialEnded)
    assert (last.trial.state, last.trial.reason_code) == (TrialState.STOPPED, EndReason.FORECAST)


def test_a_trial_with_epochs_behind_it_goes_on(study: UntrainedStudy) -> None:
    study.search.next_dispatch()
    study.search.on_epoch(0, 1, measurement(1))
    assert study.search.on_estimate(0, 1, 400.0)


def test_a_replaced_attempt_is_told_to_stop(study: UntrainedStudy) -> None:
    study.search.next_dispatch()
    assert not study.search.on_estimate(0, 2, 1.0)


def test_later_trials_get_as_many_epochs_as_the_first_steps_leave_time_for(study: UntrainedStudy) -> None:
    study.search.next_dispatch()
    study.search.on_estimate(0, 1, 120.0)
    second = study.search.next_dispatch()
    assert second is None or second.config.recipe.epochs < EPOCHS
