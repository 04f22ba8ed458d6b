"""Facts: an event as plain data, as the event log holds it and the wording reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from convscout.services.events.events import (
    BudgetsSpent,
    EpochEnded,
    Event,
    Loading,
    Notice,
    PauseStarted,
    PhaseStarted,
    SearchStarted,
    Spending,
    TrialEnded,
    TrialEstimated,
    TrialStarted,
)
from convscout.services.ledger.trial_record import TrialRecord

_KINDS: Mapping[type, str] = {
    Loading: "loading",
    SearchStarted: "search_started",
    TrialStarted: "trial_started",
    TrialEstimated: "trial_estimated",
    EpochEnded: "epoch",
    TrialEnded: "trial_ended",
    BudgetsSpent: "budgets",
    PhaseStarted: "phase",
    Notice: "notice",
    PauseStarted: "pause_started",
}
_PLAIN: Mapping[str, type] = {
    _KINDS[kind]: kind for kind in (Loading, SearchStarted, PhaseStarted, Notice, PauseStarted)
}


def kind_of(event: Event) -> str:
    """The type of ``event`` in the event log."""
    return _KINDS[type(event)]


def facts_of(event: Event) -> dict[str, Any]:
    """What ``event`` says, in plain JSON types."""
    match event:
        case TrialStarted(trial=trial, epoch_s=epoch_s) | TrialEstimated(trial=trial, epoch_s=epoch_s):
            return {
                "trial": trial.number,
                "family": trial.family,
                "attempt": trial.attempt,
                "epoch_s": epoch_s,
                **_phase(trial),
            }
        case EpochEnded(trial=trial, measurement=measured):
            return {
                "trial": trial.number,
                "epoch": measured.epoch,
                **_score(trial, trial.quality.value(measured)),
            }
        case TrialEnded(trial=trial):
            return _describe_end(trial)
        case _:
            return asdict(event)


def _describe_end(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "family": trial.family,
        "state": str(trial.state),
        "params": trial.complexity.params if trial.complexity else None,
        **_score(trial, trial.score),
        "best_epoch": trial.best.epoch if trial.best else None,
        "epochs": trial.planned_epochs,
        "reason": trial.reason,
        "reason_code": trial.reason_code,
        **_phase(trial),
    }


def _phase(trial: TrialRecord) -> dict[str, Any]:
    return {"phase": str(trial.phase), "grown_from": trial.grown_from}


def _score(trial: TrialRecord, score: float | None) -> dict[str, Any]:
    return {"score": score, "score_text": "" if score is None else trial.quality.text(score)}


def event_of(kind: str, facts: Mapping[str, Any], trial: Callable[[int], TrialRecord]) -> Event | None:
    """The event with these facts, its trial as the ledger has it now; None of a run's start and end."""
    if kind in _PLAIN:
        event: Event = _PLAIN[kind](**facts)
        return event
    match kind:
        case "budgets":
            return BudgetsSpent(spendings=tuple(Spending(**each) for each in facts["spendings"]))
        case "trial_started":
            return TrialStarted(trial=trial(facts["trial"]), epoch_s=facts["epoch_s"])
        case "trial_estimated":
            return TrialEstimated(trial=trial(facts["trial"]), epoch_s=facts["epoch_s"])
        case "trial_ended":
            return TrialEnded(trial=trial(facts["trial"]))
        case "epoch":
            record = trial(facts["trial"])
            measured = next((m for m in record.measurements if m.epoch == facts["epoch"]), None)
            return EpochEnded(trial=record, measurement=measured) if measured else None
    return None
