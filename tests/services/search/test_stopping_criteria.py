"""Budgets beside time are counted from the ledger's records, and end the search when they are used up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.search.convergence import LEAST_TRIALS
from convscout.services.search.stopping_criteria import StoppingCriteria
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.records import EPOCHS, record
from tests.support.studies import tiny_config


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _ended(number: int, *accuracies: float, state: TrialState = TrialState.COMPLETED) -> TrialRecord:
    return record(number, *accuracies, state=state)


def _criteria(clock: Clock, gpu_share: float = 0.0, **options: object) -> StoppingCriteria:
    return StoppingCriteria(tiny_config(**options), gpu_share=gpu_share, images=1_000, clock=clock)


def test_epochs_are_reserved_by_who_runs_and_freed_by_who_stops(clock: Clock) -> None:
    criteria = _criteria(clock, epochs_total=25)
    criteria.count(record(0, 0.5))
    criteria.count(record(1))
    assert criteria.epochs_left == 25 - 2 * EPOCHS
    criteria.count(_ended(0, 0.5, 0.5, state=TrialState.STOPPED))
    assert criteria.epochs_left == 25 - EPOCHS - 2
    assert not criteria.used_up


def test_the_search_ends_when_all_epochs_are_trained(clock: Clock) -> None:
    criteria = _criteria(clock, epochs_total=3)
    criteria.count(_ended(0, 0.1, 0.2))
    assert not criteria.used_up
    criteria.count(_ended(1, 0.1))
    assert criteria.used_up == (EndReason.BUDGET_SPENT, "all 3 epochs are trained")
    criteria.grant(tiny_config(epochs_total=5))
    assert not criteria.used_up and criteria.epochs_left == 2


def test_rejected_proposals_cost_nothing(clock: Clock) -> None:
    criteria = _criteria(clock, epochs_total=3)
    criteria.count(_ended(0, state=TrialState.REJECTED))
    assert criteria.epochs_left == 3


def test_gpu_time_goes_on_between_two_epochs(clock: Clock) -> None:
    criteria = _criteria(clock, gpu_share=0.5, gpu_hours="10s")
    criteria.count(_ended(0, 0.1, 0.2, 0.3, 0.4))  # a second an epoch, on half a GPU
    criteria.count(record(1, 0.1))
    clock.now = 14.0
    assert not criteria.used_up
    clock.now = 15.1
    assert criteria.used_up == (EndReason.BUDGET_SPENT, "all 10s of GPU time are used")


def test_the_target_ends_the_search(clock: Clock) -> None:
    criteria = _criteria(clock, target_accuracy=0.8)
    criteria.count(record(0, 0.79))
    assert not criteria.used_up
    criteria.count(_ended(1, 0.99, state=TrialState.FAILED))
    assert not criteria.used_up
    criteria.count(record(0, 0.79, 0.8))
    reached = "the target accuracy of 80.00% is reached: 80.00%"
    assert criteria.used_up == (EndReason.TARGET_REACHED, reached)


def test_convergence_ends_the_search_and_says_the_numbers(clock: Clock) -> None:
    criteria = _criteria(clock, until_converged=True)
    for number in range(19):
        criteria.count(_ended(number, 0.9 - 0.0001 * number))
    assert not criteria.used_up
    criteria.count(_ended(19, 0.89))
    assert criteria.used_up
    code, reason = criteria.used_up
    assert code is EndReason.CONVERGED
    assert "converged: as many trials again are expected to gain 0.0" in reason


def test_each_budget_has_an_eta(clock: Clock) -> None:
    criteria = _criteria(clock, epochs_total=20, target_accuracy=0.95)
    criteria.count(_ended(0, 0.1, 0.2))
    criteria.begin()  # what earlier runs did tells nothing of this one's pace
    clock.now = 30.0
    assert [spending.eta_s for spending in criteria.spendings()] == [None, None]
    criteria.count(_ended(1, 0.1, 0.2, 0.3))
    epochs, target = criteria.spendings()
    assert epochs.text == "5 of 20" and epochs.eta_s == pytest.approx(30.0 / 3 * 15)
    assert target.text == "30.00% of 95.00%"


def test_until_convergence_can_be_told_its_eta_is_when_it_can(clock: Clock) -> None:
    criteria = _criteria(clock, until_converged=True)
    for number in range(5):
        clock.now += 10
        criteria.count(_ended(number, 0.5 + number / 100))
    [spending] = criteria.spendings()
    assert (spending.text, spending.eta_s) == ("too few trials to tell", 10 * (LEAST_TRIALS - 5))


def test_a_trial_that_goes_on_is_counted_once(clock: Clock) -> None:
    criteria = _criteria(clock, epochs_total=30)
    stopped = _ended(0, 0.1, 0.2, state=TrialState.STOPPED)
    criteria.count(stopped)
    criteria.count(replace(stopped, state=TrialState.RUNNING, reopened=1))
    assert criteria.epochs_left == 30 - EPOCHS
