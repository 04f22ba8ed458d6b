"""What the first steps of a trial tell decides whether it goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from search_space.architecture import ImageSpec
from search_space.space import SearchSpace
from services.budget import Budget
from services.events import Event, TrialEnded, TrialEstimated, TrialStarted
from services.home import Home
from services.search import FORECAST, Search
from services.search_setting import Setting
from services.study import Ledger
from tests.services.records import measurement
from tests.services.studies import tiny_config
from trials.config import TrialResult, TrialState

EPOCHS = 8
SPACE = SearchSpace(
    image=ImageSpec(in_channels=1, image_size=8, num_classes=10), families=("lenet",), epochs=EPOCHS
)


class Study:
    """A search of which nothing is trained, with ten minutes to go, and what it told."""

    def __init__(self, root: Path) -> None:
        self.events: list[Event] = []
        ledger = Ledger.create(Home(root), tiny_config(trials=5), fingerprint="f" * 64)
        setting = Setting(
            space=SPACE,
            budget=Budget(started_s=time.time(), time_s=600.0, trials=5),
            fingerprint="f" * 64,
            num_training=1000,
            num_validation=100,
            num_test=0,
            gpu_share=0.0,
            device="cpu",
        )
        self.search = Search(
            ledger,
            setting,
            listener=self.events.append,
            touch=lambda number: None,
            interrupted=lambda: False,
        )
        self.search.prepare()

    def complete_one(self) -> None:
        """Train the next trial to its end."""
        dispatch = self.search.next_dispatch()
        assert dispatch
        number = dispatch.config.number
        for epoch in range(1, dispatch.config.recipe.epochs + 1):
            self.search.on_epoch(number, 1, measurement(epoch))
        self.search.on_end(TrialResult(number=number, attempt=1, state=TrialState.COMPLETED))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def test_a_trial_that_fits_goes_on_and_times_the_next(study: Study) -> None:
    assert study.search.next_dispatch()
    assert study.search.on_estimate(0, 1, 10.0)
    assert study.search.next_dispatch()
    kinds = (TrialStarted, TrialEstimated)
    told = [each.epoch_s for each in study.events if isinstance(each, kinds)]
    assert told[:2] == [None, 10.0]
    assert told[2] is not None and told[2] >= 10.0


def test_a_trial_is_not_stopped_for_a_forecast_while_there_is_nothing_better(study: Study) -> None:
    dispatch = study.search.next_dispatch()
    assert dispatch and dispatch.config.recipe.epochs == EPOCHS
    assert study.search.on_estimate(0, 1, 4000.0)


def test_once_there_is_a_model_a_trial_is_stopped_whose_first_rung_would_not_end_in_time(
    study: Study,
) -> None:
    study.complete_one()
    assert study.search.next_dispatch()
    assert not study.search.on_estimate(1, 1, 400.0)
    last = study.events[-1]
    assert isinstance(last, TrialEnded)
    assert (last.trial.state, last.trial.reason) == (TrialState.STOPPED, FORECAST)


def test_a_trial_with_epochs_behind_it_goes_on(study: Study) -> None:
    study.search.next_dispatch()
    study.search.on_epoch(0, 1, measurement(1))
    assert study.search.on_estimate(0, 1, 400.0)


def test_a_replaced_attempt_is_told_to_stop(study: Study) -> None:
    study.search.next_dispatch()
    assert not study.search.on_estimate(0, 2, 1.0)


def test_later_trials_get_as_many_epochs_as_the_first_steps_leave_time_for(study: Study) -> None:
    study.search.next_dispatch()
    study.search.on_estimate(0, 1, 120.0)
    second = study.search.next_dispatch()
    assert second is None or second.config.recipe.epochs < EPOCHS
