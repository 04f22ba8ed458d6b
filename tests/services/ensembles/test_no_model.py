"""A search without a model says what became of its trials, and which command comes next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convscout.services.ensembles.no_model import no_model
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.records import record
from tests.support.studies import tiny_config

FAILED, STOPPED, REJECTED = TrialState.FAILED, TrialState.STOPPED, TrialState.REJECTED
OTHERWISE = "; search again with other families or limits, or resume it with more trials or time"


def _failed(number: int, reason: str, code: EndReason = EndReason.UNKNOWN) -> TrialRecord:
    return record(number, state=FAILED, reason=reason, reason_code=code)


def _rejected(number: int, reason: str, code: EndReason = EndReason.LIMIT_EXCEEDED) -> TrialRecord:
    ended = record(number, state=REJECTED, reason=reason, reason_code=code)
    return replace(ended, plan=None)


@pytest.mark.parametrize(
    ("records", "cause", "following"),
    [
        (
            [_failed(number, f"loss became nan in epoch {number}", EndReason.DIVERGED) for number in (1, 2)],
            f"all 2 trials failed: 2 × diverged (the latest: loss became nan in epoch 2){OTHERWISE}",
            "trials tiny",
        ),
        (
            [_rejected(0, "too large"), _failed(1, "lost its worker three times")],
            f"the only trial failed: 1 × lost its worker three times{OTHERWISE}",
            "trials tiny",
        ),
        (
            [_failed(number, reason) for number, reason in enumerate("aabccdee")],
            f"all 8 trials failed: 2 × a, 2 × c, 2 × e, 2 × other reasons{OTHERWISE}",
            "trials tiny",
        ),
        (
            [_failed(0, "loss became nan"), record(1, state=STOPPED, reason="the time is up")],
            f"all 2 trials ended without a score: 1 × loss became nan, 1 × the time is up{OTHERWISE}",
            "trials tiny",
        ),
        ([record(0)], f"no trial has ended with a score yet{OTHERWISE}", "trials tiny"),
        (
            [_rejected(0, "5 params exceed max_params = 1"), _rejected(1, "7 params exceed max_params = 1")],
            "all 2 candidates were rejected: 2 × limit exceeded (the latest: 7 params exceed max_params = 1)"
            + OTHERWISE,
            "resume tiny --trials +10",
        ),
        (
            [_rejected(0, "a")],
            f"the only candidate was rejected: 1 × a{OTHERWISE}",
            "resume tiny --trials +10",
        ),
        (
            [_rejected(0, "a", EndReason.TOO_LONG)],
            f"no room for a full trial: 1 × a{OTHERWISE}",
            "resume tiny --trials +10",
        ),
        (
            [record(0, 0.5, state=STOPPED)],
            "its trials were judged on other images",
            "resume tiny --trials +10",
        ),
        ([], "no trial was begun", "resume tiny --trials +10"),
    ],
)
def test_the_reasons_of_its_trials_are_counted(
    records: list[TrialRecord], cause: str, following: str
) -> None:
    error = no_model(tiny_config(), records)
    assert (error.message, error.next_command) == (f"no model: {cause}", f"convscout {following}")
    assert error.exit_code == 1


def test_more_is_granted_of_what_bounds_the_study() -> None:
    timed = tiny_config(trials=None, time="2m")
    assert no_model(timed, []).next_command == "convscout resume tiny --time +10m"
    unbounded = replace(timed, time_s=None, epochs_total=10)
    assert no_model(unbounded, []).next_command == "convscout trials tiny"


def test_best_epochs_that_are_lost_are_looked_for() -> None:
    error = no_model(tiny_config(), [record(0, 0.5, state=STOPPED)], lost=True)
    assert "missing or damaged" in error.message
    assert error.next_command == "convscout check tiny"
