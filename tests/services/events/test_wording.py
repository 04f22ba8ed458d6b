"""Each event has one text, whoever shows it, and texts come from plain facts alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from convscout.services.events.events import (
    BudgetsSpent,
    EpochEnded,
    Event,
    Loading,
    Notice,
    PauseStarted,
    PhaseStarted,
    TrialEnded,
    TrialEstimated,
    TrialStarted,
)
from convscout.services.events.facts import facts_of, kind_of
from convscout.services.events.wording import (
    best_text,
    budget_text,
    counts_text,
    event_text,
    loading_text,
    pace_text,
    phase_text,
    state_text,
    status_text,
    summary_text,
    time_text,
    trials_text,
    workers_text,
)
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.records import measurement, record, search_started

COMPLETED = record(0, 0.6, 0.91, state=TrialState.COMPLETED, family="vgg", reason="trained all its epochs")
REJECTED = record(1, state=TrialState.REJECTED, reason="too many parameters")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (search_started(), "study quickstart on digits: 2 workers (ray), 30 trials and 2m 00s left"),
        (
            search_started(trials=None, deadline_s=None),
            "study quickstart on digits: 2 workers (ray), no bound",
        ),
        (TrialStarted(trial=record(3)), "trial 3 started: lenet"),
        (TrialStarted(trial=record(3, attempt=2)), "trial 3 started: lenet, attempt 2"),
        (EpochEnded(trial=record(3, 0.5), measurement=measurement(1)), "trial 3 epoch 1: validation 50.00%"),
        (
            TrialEnded(trial=COMPLETED),
            "trial 0 completed: vgg, 61.7k parameters, validation 91.00% at epoch 2 of 10, trained all its epochs",
        ),
        (TrialEnded(trial=REJECTED), "trial 1 rejected: lenet, 61.7k parameters, too many parameters"),
        (PhaseStarted(phase="data", detail="digits"), "reading the data: digits"),
        (
            PhaseStarted(phase="tracking", detail="bringing MLflow up to date"),
            "tracking: bringing MLflow up to date",
        ),
        (Notice(text="a worker was lost"), "note: a worker was lost"),
        (PauseStarted(), "note: pausing: each running trial ends its epoch first"),
        (Loading(description="decoding", done=1, total=2), ""),
        (TrialEstimated(trial=record(3), epoch_s=2.0), ""),
        (BudgetsSpent(spendings=()), ""),
    ],
)
def test_an_event_has_the_same_text_from_the_event_log_as_from_memory(event: Event, text: str) -> None:
    facts = facts_of(event)
    assert event_text(kind_of(event), facts) == text
    assert event_text(kind_of(event), json.loads(json.dumps(facts))) == text


@pytest.mark.parametrize(
    ("kind", "facts", "text"),
    [
        ("run_started", {"pid": 1, "command": "resume"}, "a run began: convscout resume"),
        ("run_ended", {"how": "paused"}, "the run ended: paused"),
        (
            "run_ended",
            {"how": "failed", "error": "no images", "next": ""},
            "the run ended with an error: no images",
        ),
        ("status", {"status": "running"}, ""),
    ],
)
def test_runs_have_a_text_and_unknown_events_have_none(kind: str, facts: dict[str, Any], text: str) -> None:
    assert event_text(kind, facts) == text


def test_events_of_earlier_versions_still_read() -> None:
    ended = {"trial": 4, "family": "nin", "state": "stopped", "score": 0.5, "reason": "asha at epoch 1"}
    assert event_text("trial_ended", ended) == "trial 4 stopped: nin, validation 0.5000, asha at epoch 1"
    assert (
        event_text("trial_ended", ended | {"score_text": "50.00%"})
        == "trial 4 stopped: nin, validation 50.00%, asha at epoch 1"
    )
    assert (
        event_text("epoch", {"trial": 4, "epoch": 2, "score": 0.25}) == "trial 4 epoch 2: validation 0.2500"
    )


def test_how_a_study_stands_is_worded_part_by_part() -> None:
    assert loading_text("decoding", 1500, 6000) == "decoding: 1,500 of 6,000"
    assert phase_text("export") == "exporting and verifying"
    assert status_text("a", "queued", 2) == "study a is queued, number 2 of those that wait"
    assert status_text("a", "running", None) == "study a is running"
    assert (workers_text(1), workers_text(2, "ray")) == ("1 worker", "2 workers (ray)")
    assert trials_text([]) == "trials: none yet"
    assert trials_text([("completed", 2), ("failed", 0)], 1000, 3) == "trials of 1,000: 2 completed, 3 before"
    assert trials_text([("rejected", 3)], did_not_fit=1) == "trials: 2 rejected, 1 candidate did not fit"
    assert best_text("91.00%", 7, "vgg") == "the best so far: 91.00% (trial 7, vgg)"
    assert (time_text(12, None), time_text(12, 120)) == ("12s", "12s, 2m 00s left")
    assert (pace_text(None, None), pace_text(1234.5, 30)) == ("0 images/s", "1,234 images/s, 30s to go")
    assert (budget_text("3 of 9", None), budget_text("3 of 9", 60)) == (
        "3 of 9",
        "3 of 9 (used up in 1m 00s)",
    )


def test_a_candidate_that_did_not_fit_is_not_called_rejected() -> None:
    counts = [("rejected", 5), ("completed", 2)]
    assert counts_text(counts) == "5 rejected, 2 completed"
    assert counts_text(counts, 3) == "2 rejected, 2 completed, 3 candidates did not fit"
    assert counts_text(counts, 5) == "2 completed, 5 candidates did not fit"
    assert state_text("rejected", EndReason.TOO_SLOW) == "did not fit"
    assert state_text("rejected", EndReason.LIMIT_EXCEEDED) == "rejected"
    assert state_text("running", None) == "running"


def test_a_summary_leaves_out_what_is_not_known() -> None:
    nothing = summary_text(elapsed_s=1, counts=[], best="", images_per_s=0, eta_s=None, budgets=[])
    assert nothing == "1s: no trial yet"
    full = summary_text(
        elapsed_s=65,
        counts=[("completed", 2), ("running", 1)],
        best=best_text("91.00%", 7, "vgg"),
        images_per_s=1000.0,
        eta_s=30,
        budgets=["epochs 3 of 9"],
        used=0.4,
    )
    assert full == (
        "1m 05s: 2 completed, 1 running, the best so far: 91.00% (trial 7, vgg), 1,000 images/s, "
        "40% of the budget used, 30s to go, epochs 3 of 9"
    )


def test_watching_a_study_of_a_service_imports_neither_torch_nor_optuna() -> None:
    code = "import sys, convscout.services.cli.remote.follow; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "convscout.services.events.wording" in imported
    assert not imported & {"torch", "optuna", "numpy", "ray", "mlflow", "sqlalchemy"}
