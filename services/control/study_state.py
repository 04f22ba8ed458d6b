"""Studies as they stand: from jobs, ledger and event log to what is shown of them."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from convscout.search_space.errors import StudyNotFoundError
from convscout.services.config.command_line import search_command
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.toml import load_toml, to_toml
from convscout.services.control.jobs import Job, Jobs
from convscout.services.control.study_reader import StudyReader, StudySnapshot
from convscout.services.ledger.ledger import DELETED_NOTE
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.schemas.jobs import JobState
from convscout.services.schemas.studies import (
    Best,
    BudgetStatus,
    LoadingProgress,
    RunningTrial,
    StudyDetail,
    StudySummary,
)
from convscout.services.schemas.study_status import StudyStatus
from convscout.services.search.command_queue import PAUSE, CommandQueue
from convscout.services.studies.outcome import OUTCOME_NOTE, load_outcome

_ACTIONS: Mapping[StudyStatus, tuple[str, ...]] = {
    StudyStatus.QUEUED: ("pause", "stop", "prioritise"),
    StudyStatus.STARTING: ("stop", "prioritise"),
    StudyStatus.RUNNING: ("pause", "stop", "extend", "enqueue", "prioritise"),
    StudyStatus.PAUSING: ("stop",),
    StudyStatus.STOPPING: (),
    StudyStatus.PAUSED: ("resume", "extend", "enqueue", "delete"),
    StudyStatus.STOPPED: ("resume", "extend", "enqueue", "delete"),
    StudyStatus.INTERRUPTED: ("resume", "extend", "enqueue", "delete"),
    StudyStatus.NO_MODEL: ("resume", "extend", "enqueue", "delete"),
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
        alive = self._job_state is JobState.RUNNING and not (self._begun and self.reader.ended)
        if self.reader.held or alive:
            return self._while_running(job)
        if job and not self._begun:
            return self._end_of(job)
        return self._end_of_run()

    @property
    def message(self) -> str:
        """How it stands, in a sentence for a person."""
        return self.status.sentence(self.error, begun=bool(self.snapshot.trials))

    @cached_property
    def error(self) -> str:
        """What went wrong, if its latest run ended with an error."""
        return str(self._last_words.get("error", "")) if self.status.wrong else ""

    def next_command(self, model: str) -> str:
        """What to type next; ``model`` is what `predict` finds its model by."""
        return self.status.next_command(
            self.reader.ref.name, model=model, told=self._last_words.get("next", "")
        )

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
        progress, config, live = self.reader.progress, self.config, self.status.live
        loading, phase = progress.loading, progress.phase
        ledger = self.ledger
        outcome = load_outcome(ledger) if ledger else None
        return StudyDetail(
            **self._summary(),
            version=self._version(),
            phase=phase.phase if live and phase else "",
            loading=LoadingProgress(**vars(loading)) if live and loading else None,
            left_s=progress.left_s if live else None,
            workers=progress.search.workers if live and progress.search else None,
            images_per_s=progress.images_per_s if live else None,
            running=[self._running(record) for record in progress.running.values()] if live else [],
            budgets=[BudgetStatus(**vars(each)) for each in progress.spendings],
            notices=progress.notices,
            config=config.to_dict(),
            command=search_command(config),
            toml=to_toml(config),
            outcome=outcome.to_dict() if outcome else None,
            directory=str(self.reader.ref.directory),
            mlflow=mlflow,
        )

    @property
    def _begun(self) -> bool:
        """Whether the latest job, if there is one, has come so far as to run the study."""
        if self.job is None:
            return True
        return self.ledger is not None and (self.reader.began_at or 0.0) > self.job.created_at

    @property
    def _last_words(self) -> Mapping[str, Any]:
        """What the latest run said as it ended, or the job that did not come so far as to begin one."""
        if self.job and not self._begun:
            return {"error": self.job.error}
        return self.reader.ended.facts if self.reader.ended else {}

    def _while_running(self, job: Job | None) -> StudyStatus:
        if job and job.stopping and self._job_state is JobState.RUNNING:
            return StudyStatus.STOPPING
        held = self.reader.held
        if (held and CommandQueue(self.reader.ref).holds(PAUSE)) or self.reader.pausing:
            return StudyStatus.PAUSING
        # a search lets go of its lease a moment before it says how it ended
        return StudyStatus.RUNNING if held or self._begun else StudyStatus.STARTING

    def _end_of(self, job: Job) -> StudyStatus:
        """How it stands when the process of its job ended before it ran the study."""
        if job.cancelled or job.stopping:
            return StudyStatus.STOPPED
        return StudyStatus.INTERRUPTED if self._job_state is JobState.LOST else StudyStatus.FAILED

    def _end_of_run(self) -> StudyStatus:
        """How the latest run ended; studies that are older than journals tell by their outcome alone."""
        if self.reader.ended:
            ended = StudyStatus(self.reader.ended.facts["how"])
            # one that was asked to stop was about to pause anyway
            stopped = self.job and self.job.stopping and ended is StudyStatus.PAUSED
            return StudyStatus.STOPPED if stopped else ended
        finished = self.reader.began_at is None and self.ledger and self.ledger.note(OUTCOME_NOTE)
        return StudyStatus.FINISHED if finished else StudyStatus.INTERRUPTED

    def _summary(self) -> dict[str, Any]:
        snapshot = self.snapshot
        best = snapshot.ranking[0] if snapshot.ranking else None
        return {
            "name": self.reader.ref.name,
            "data": self.config.data,
            "status": self.status,
            "message": self.message,
            "next_command": self.next_command(self.reader.ref.name),
            "priority": self.job.priority if self.job else 0,
            "queue_position": self._position,
            "objective": list(self.config.objective),
            "best": _best(best) if best else None,
            "trials": snapshot.counts,
            "did_not_fit": snapshot.did_not_fit,
            "progress": self._progress(),
            "eta_s": self.reader.progress.eta_s if self.status.live else None,
            "elapsed_s": self.reader.elapsed_s,
            "created_at": self._created_at(),
            "error": self.error,
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
        moments = [began_at for began_at, _ in runs[:1]]
        if self.job:
            # before its process began, if it is the job that began the study
            moments.append(self.job.created_at)
        return datetime.datetime.fromtimestamp(min(moments), datetime.UTC) if moments else None

    def _running(self, record: TrialRecord) -> RunningTrial:
        return RunningTrial(
            trial=record.number,
            family=record.family,
            phase=str(record.phase),
            grown_from=record.grown_from,
            epoch=len(record.measurements),
            epochs=record.planned_epochs,
            score=record.score,
            score_text="" if record.score is None else record.quality.text(record.score),
            eta_s=self.reader.progress.trial_eta_s(record),
        )


def states_on_disk(home: Home, names: Iterable[str]) -> Iterator[StudyState]:
    """How the studies called ``names`` stand, for whoever looks once; one that is gone by then is left out."""
    jobs = Jobs(home).latest()
    for name in names:
        state = StudyState(StudyReader(home.study(name)), jobs.get(name))
        if state.ledger:
            yield state


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
