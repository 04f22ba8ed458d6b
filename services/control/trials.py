"""Trials of a study as they are shown: filtered, sorted, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from convscout.services.control.study_reader import StudySnapshot
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.schemas.studies import EpochView, LearningCurve, TrialDetail, TrialSummary
from convscout.trials.config import TrialState

_ACTIONS = {
    TrialState.RUNNING: ["stop"],
    TrialState.STOPPED: ["retry"],
    TrialState.FAILED: ["retry"],
}


class TrialOrder(StrEnum):
    """What trials are sorted by; what a trial has no value of comes last."""

    NUMBER = "number"
    SCORE = "score"
    PARAMS = "params"
    TRAINING = "training"
    EPOCHS = "epochs"


_KEYS: dict[TrialOrder, Callable[[TrialRecord], float | None]] = {
    TrialOrder.NUMBER: lambda record: record.number,
    TrialOrder.SCORE: lambda record: record.utility if record.best else None,
    TrialOrder.PARAMS: lambda record: record.complexity.params if record.complexity else None,
    TrialOrder.TRAINING: lambda record: record.training_s,
    TrialOrder.EPOCHS: lambda record: len(record.measurements),
}


def select(
    records: Sequence[TrialRecord],
    *,
    states: Sequence[str] = (),
    families: Sequence[str] = (),
    order: TrialOrder = TrialOrder.NUMBER,
    descending: bool = False,
) -> list[TrialRecord]:
    """Those of ``records`` in any of ``states`` and ``families``, all where there are none, in ``order``."""
    found = [
        record
        for record in records
        if (not states or str(record.state) in states) and (not families or record.family in families)
    ]
    key = _KEYS[order]
    known = [record for record in found if key(record) is not None]
    unknown = [record for record in found if key(record) is None]
    return [*sorted(known, key=lambda each: key(each) or 0.0, reverse=descending), *unknown]


def to_draw(snapshot: StudySnapshot, most: int) -> list[TrialRecord]:
    """At most so many trials whose curves tell the study: those that run, the best, those that were stopped last."""
    running = [record for record in snapshot.trials if record.state is TrialState.RUNNING]
    stopped = [record for record in snapshot.trials if record.state is TrialState.STOPPED][::-1]
    wanted = [*running, *snapshot.ranking[: most // 2], *stopped, *snapshot.ranking]
    chosen = dict.fromkeys(record.number for record in wanted if record.measurements)
    known = {record.number: record for record in wanted}
    return [known[number] for number in list(chosen)[:most]]


def summary(record: TrialRecord) -> TrialSummary:
    """A trial as a table shows it."""
    return TrialSummary(**_summary(record))


def detail(record: TrialRecord, mlflow: str | None) -> TrialDetail:
    """All that is known of a trial; ``mlflow`` is the path of its run there."""
    return TrialDetail(
        **_summary(record),
        settings=record.settings,
        complexity=record.complexity.to_dict() if record.complexity else None,
        curve=[EpochView(**measured.to_dict()) for measured in record.measurements],
        mlflow=mlflow,
    )


def curve(record: TrialRecord) -> LearningCurve:
    """How a trial learnt."""
    return LearningCurve(
        trial=record.number,
        family=record.family,
        state=str(record.state),
        epochs=[measured.epoch for measured in record.measurements],
        scores=[record.quality.value(measured) for measured in record.measurements],
    )


def _summary(record: TrialRecord) -> dict[str, Any]:
    best, complexity = record.best, record.complexity
    return {
        "number": record.number,
        "state": str(record.state),
        "family": record.family,
        "phase": str(record.phase),
        "grown_from": record.grown_from,
        "score": record.score,
        "score_text": "" if record.score is None else record.quality.text(record.score),
        "best_epoch": best.epoch if best else None,
        "epoch": len(record.measurements),
        "epochs": record.planned_epochs if record.plan else None,
        "params": complexity.params if complexity else None,
        "flops": complexity.flops if complexity else None,
        "costs": dict(record.costs),
        "training_s": record.training_s,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "reason": record.reason,
        "reason_code": record.reason_code,
        "attempt": record.attempt,
        "actions": list(_ACTIONS.get(record.state, [])),
    }
