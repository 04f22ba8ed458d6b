"""Studies as they stand: from jobs, ledger and journal to what is shown of them."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from search_space.errors import StudyNotFoundError
from services.command_line import search_command
from services.config import StudyConfig
from services.config_file import load_toml, to_toml
from services.control.jobs import Job
from services.control.kinds import JobState
from services.control.reader import StudyReader, StudySnapshot
from services.control.views import (
    Best,
    Budget,
    Loading,
    RunningTrial,
    StudyDetail,
    StudyStatus,
    StudySummary,
)
from services.finish import OUTCOME_NOTE, stored_outcome
from services.inbox import PAUSE, Inbox
from services.journal import FAILED, FINISHED, PAUSED
from services.journal import STOPPED as STOPPED_BY_HAND
from services.study import DELETED_NOTE
from services.trial_record import TrialRecord

_ENDS = {
    PAUSED: StudyStatus.PAUSED,
    STOPPED_BY_HAND: StudyStatus.STOPPED,
    FINISHED: StudyStatus.FINISHED,
    FAILED: StudyStatus.FAILED,
}
_ACTIONS: Mapping[StudyStatus, tuple[str, ...]] = {
    StudyStatus.QUEUED: ("pause", "stop", "prioritise"),
    StudyStatus.STARTING: ("stop", "prioritise"),
    StudyStatus.RUNNING: ("pause", "stop", "extend", "enqueue", "prioritise"),
    StudyStatus.PAUSING: ("stop",),
    StudyStatus.STOPPING: (),
    StudyStatus.PAUSED: ("resume", "extend", "enqueue", "delete"),
    StudyStatus.STOPPED: ("resume", "extend", "enqueue", "delete"),
    StudyStatus.INTERRUPTED: ("resume", "extend", "enqueue", "delete"),
    StudyStatus.FAILED: ("resume", "extend", "enqueue", "delete"),
    StudyStatus.FINISHED: ("extend", "enqueue", "delete"),
}
_OF_A_LEDGER = ("extend", "enqueue")  # there is nothing to extend before the study has begun


class StudyState:
    """One study at one moment, put together from its ``reader`` and its latest ``job`` that trains, if it has one."""

    def __init__(self, reader: StudyReader, job: Job | None, position: int | None = None) -> None:
        # before the look, which then sees all that an ended process said
        self._job_state = job.state if job else None
        self.reader = reader
        self.snapshot: StudySnapshot = reader.look()
        self.ledger = reader.ledger  # whatever becomes of it while we tell of it
        self.job = job
        self._position = position

    @property
    def exists(self) -> bool:
        """Whether there is such a study."""
        return self.ledger is not None or self.job is not None

    @property
    def deleted(self) -> bool:
        """Whether it was deleted, though it can still be restored."""
        return bool(self.ledger and self.ledger.note(DELETED_NOTE))

    @cached_property
    def status(self) -> StudyStatus:
        """How it stands."""
        job = self.job
        if job and self._job_state is JobState.QUEUED:
            return StudyStatus.PAUSED if job.held else StudyStatus.QUEUED
        begun = job is None or (self.reader.began_at or 0.0) > job.created_at
        if self.reader.held or (self._job_state is JobState.RUNNING and not (begun and self.reader.ended)):
            return self._while_running(job)
        ledger = self.ledger
        if job and (ledger is None or not begun):
            return self._end_of(job)  # it did not come so far as to begin
        if job and job.stopping and self.reader.ended and self.reader.ended.facts["how"] == PAUSED:
            return StudyStatus.STOPPED  # it was about to pause anyway
        if self.reader.ended:
            return _ENDS[self.reader.ended.facts["how"]]
        finished = self.reader.began_at is None and ledger and ledger.note(OUTCOME_NOTE)
        return StudyStatus.FINISHED if finished else StudyStatus.INTERRUPTED

    @property
    def actions(self) -> list[str]:
        """What can be asked of it now."""
        known = _ACTIONS[self.status]
        if self.ledger is None:
            known = tuple(each for each in known if each not in _OF_A_LEDGER)
        return list(known)

    @cached_property
    def config(self) -> StudyConfig:
        """What was asked of it."""
        if self.ledger:
            return self.ledger.config
        assert self.job is not None
        return requested(self.job)

    def summary(self) -> StudySummary:
        """It as a list shows it."""
        return StudySummary(**self._summary())

    def detail(self, mlflow: str | None) -> StudyDetail:
        """All of it but its trials; ``mlflow`` is the path of its run there."""
        board, config, live = self.reader.board, self.config, self.status.live
        loading, phase = board.loading, board.phase
        ledger = self.ledger
        outcome = stored_outcome(ledger) if ledger else None
        return StudyDetail(
            **self._summary(),
            version=self._version(),
            phase=phase.phase if live and phase else "",
            loading=Loading(**vars(loading)) if live and loading else None,
            left_s=board.left_s if live else None,
            workers=board.search.workers if live and board.search else None,
            images_per_s=board.images_per_s if live else None,
            running=[self._running(record) for record in board.running.values()] if live else [],
            budgets=[Budget(**vars(each)) for each in board.spendings],
            notices=board.notices,
            config=config.to_dict(),
            command=search_command(config),
            toml=to_toml(config),
            outcome=outcome.to_dict() if outcome else None,
            directory=str(self.reader.home.study(self.reader.name)),
            mlflow=mlflow,
        )

    def _while_running(self, job: Job | None) -> StudyStatus:
        if job and job.stopping and self._job_state is JobState.RUNNING:
            return StudyStatus.STOPPING
        held = self.reader.held
        if (held and Inbox(self.reader.home, self.reader.name).holds(PAUSE)) or self.reader.pausing:
            return StudyStatus.PAUSING
        return StudyStatus.RUNNING if held else StudyStatus.STARTING

    def _end_of(self, job: Job) -> StudyStatus:
        """How it stands when the process of its job ended before it ran the study."""
        if job.cancelled or job.stopping:
            return StudyStatus.STOPPED
        return StudyStatus.INTERRUPTED if self._job_state is JobState.LOST else StudyStatus.FAILED

    def _summary(self) -> dict[str, Any]:
        snapshot = self.snapshot
        best = snapshot.ranking[0] if snapshot.ranking else None
        return {
            "name": self.reader.name,
            "data": self.config.data,
            "status": self.status,
            "priority": self.job.priority if self.job else 0,
            "queue_position": self._position,
            "objective": list(self.config.objective),
            "best": _best(best) if best else None,
            "trials": snapshot.counts,
            "progress": self._progress(),
            "eta_s": self.reader.board.eta_s if self.status.live else None,
            "elapsed_s": self.reader.elapsed_s,
            "created_at": self._created_at(),
            "error": self._error(),
            "actions": self.actions,
        }

    def _progress(self) -> float | None:
        if self.status is StudyStatus.FINISHED:
            return 1.0
        config, shares = self.config, []
        if config.time_s:
            shares.append(self.reader.elapsed_s / config.time_s)
        if config.trials:
            ended = sum(record.trained and record.finished_at is not None for record in self.snapshot.trials)
            shares.append(ended / config.trials)
        return min(1.0, max(shares)) if shares else None

    def _version(self) -> str:
        told = json.dumps([self.config.to_dict(), self.job.priority if self.job else 0], default=str)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def _created_at(self) -> datetime.datetime | None:
        ledger = self.ledger
        runs = (ledger.note("runs") if ledger else None) or []
        moments = [runs[0][0]] if runs else [self.job.created_at] if self.job else []
        return datetime.datetime.fromtimestamp(moments[0], datetime.UTC) if moments else None

    def _error(self) -> str:
        if self.status is not StudyStatus.FAILED:
            return ""
        if self.job and self.job.errors:
            return "\n".join(self.job.errors)
        return str(self.reader.ended.facts.get("error", "")) if self.reader.ended else ""

    def _running(self, record: TrialRecord) -> RunningTrial:
        return RunningTrial(
            trial=record.number,
            family=record.family,
            epoch=len(record.measurements),
            epochs=record.config.recipe.epochs if record.config else 0,
            score=record.score,
            score_text="" if record.score is None else record.quality.text(record.score),
            eta_s=self.reader.board.trial_eta_s(record),
        )


def requested(job: Job) -> StudyConfig:
    """What the study is to be that a job begins. Raises ``StudyNotFoundError`` when it has just been removed."""
    path = job.path / "study.toml"
    if not path.exists():
        raise StudyNotFoundError(f"study {job.study!r} was deleted before it began")
    return StudyConfig.from_options(load_toml(path))


def _best(record: TrialRecord) -> Best:
    assert record.score is not None
    return Best(
        trial=record.number,
        family=record.family,
        score=record.score,
        text=record.quality.text(record.score),
    )
