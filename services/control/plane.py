"""ControlPlane: all that one can ask of the studies of one home; REST and pages are thin layers over it."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import tomlkit

from convscout.search_space.errors import (
    ConfigError,
    ConvscoutError,
    Problem,
    StudyExistsError,
    StudyNotFoundError,
    StudyStateError,
    UnknownNameError,
)
from convscout.services.config.changes import check_spelling, extend
from convscout.services.config.home import Home
from convscout.services.config.setting_types import AUTO
from convscout.services.config.study_config import SETTINGS, StudyConfig, merge
from convscout.services.config.toml import to_toml
from convscout.services.control.datasets.catalog import Datasets
from convscout.services.control.jobs import Job
from convscout.services.control.results import Results
from convscout.services.control.scheduler import Supervisor
from convscout.services.control.settings import ServiceSettings
from convscout.services.control.store import ServiceStore
from convscout.services.control.study_reader import Readers, StudySnapshot
from convscout.services.control.study_state import StudyState, requested
from convscout.services.control.trials import detail
from convscout.services.events.events import ignore
from convscout.services.executors.placement import check_environment, device_of
from convscout.services.ledger.lease import holder, lease, refuse_elsewhere
from convscout.services.ledger.ledger import Ledger
from convscout.services.schemas.jobs import JobKind, JobState
from convscout.services.schemas.studies import StudyDetail, StudySummary, TrialDetail
from convscout.services.schemas.study_status import StudyStatus
from convscout.services.studies import commands as steering
from convscout.services.studies import deletion, session
from convscout.services.tracking.run_links import run_links

LOWEST, HIGHEST = -100, 100
RESERVED = ("ray_address",)
_LINKS_S = 5.0  # how long what MLflow shows is taken for known


class ControlPlane:
    """The studies of ``home``."""

    def __init__(self, home: Home, settings: ServiceSettings) -> None:
        self.home = home
        self.settings = settings
        self.store = ServiceStore(home.root / "service" / "service.db")
        self._readers = Readers(home)
        self.supervisor = Supervisor(home, settings, self._readers)
        self.datasets = Datasets(home, settings, waiting=self._data_of_waiting)
        self.results = Results(home, self.supervisor)
        self._links: dict[str, tuple[float, Mapping[int | None, str]]] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within, studies that wait begin when it is their turn."""
        self.datasets.sweep()
        # a first look at thousands of trials takes seconds, for which nobody should wait who opens a page
        threading.Thread(target=self._look_first, name="first look", daemon=True).start()
        with self.supervisor.running():
            yield

    # looking

    def studies(self) -> list[StudySummary]:
        """All studies, the latest first: those that run or ran, and those that wait to begin."""
        jobs = self.supervisor.jobs.latest()
        gone = Ledger.deleted(self.home)
        names = [name for name in dict.fromkeys([*Ledger.names(self.home), *jobs]) if name not in gone]
        positions = self._positions()
        states = [StudyState(self._readers.of(name), jobs.get(name), positions.get(name)) for name in names]
        summaries = [found for state in states if state.exists and (found := _summary(state))]
        return sorted(summaries, key=lambda each: each.created_at.timestamp() if each.created_at else 0.0)[
            ::-1
        ]

    def study(self, name: str) -> StudyDetail:
        """All of one study but its trials. Raises ``StudyNotFoundError``."""
        return self.state(name).detail(self.links(name).get(None))

    def links(self, name: str) -> Mapping[int | None, str]:
        """Paths in MLflow's pages by trial number, that of the study's own run under None; as of a few seconds ago."""
        known = self._links.get(name)
        if known is None or time.monotonic() - known[0] > _LINKS_S:
            known = self._links[name] = (time.monotonic(), run_links(self.home.study(name)))
        return known[1]

    def state(self, name: str) -> StudyState:
        """The study called ``name`` as it stands. Raises ``StudyNotFoundError``."""
        state = StudyState(self._readers.of(name), self._latest_job(name), self._positions().get(name))
        if not state.exists or state.deleted:
            self._readers.forget(name)
            known = (
                ", ".join(dict.fromkeys([*Ledger.names(self.home), *self.supervisor.jobs.latest()]))
                or "none yet"
            )
            raise StudyNotFoundError(f"no study {name!r} under {self.home.root}; studies there: {known}")
        return state

    def ledger(self, name: str) -> Ledger:
        """The ledger of a study. Raises ``StudyNotFoundError``, and ``StudyStateError`` when it has not begun yet."""
        ledger = self.state(name).ledger
        if ledger is None:
            raise StudyStateError(f"study {name!r} has not begun yet; there is nothing of it to work with")
        return ledger

    def snapshot(self, name: str) -> StudySnapshot:
        """The trials of a study as they are now. Raises ``StudyNotFoundError``."""
        return self.state(name).snapshot

    def importances(self, name: str) -> Mapping[str, float]:
        """How much each knob of a study mattered, the most important first. Raises ``StudyNotFoundError``."""
        state = self.state(name)
        return state.reader.importances.of(state.snapshot.view)

    # running

    def create(self, settings: Mapping[str, Any], *, priority: int = 0) -> StudySummary:
        """Let a new study of these ``settings`` wait for its turn.

        They are spelled as a person would, and its images must be those of a dataset that the service knows. Raises
        ``ConfigError``, and ``StudyExistsError`` when the name is taken.
        """
        named = merge(settings)
        refuse_reserved(named)
        config = self.datasets.config_of(named)
        check_environment(config)
        with self.supervisor.lock:
            self._refuse_name(config)
            if config.workers is None and self.settings.cores and config.device != "cuda":
                config = replace(config, workers=max(1, self.settings.cores // (config.threads or 1)))
            self._search(config, priority)
        return self.state(config.name).summary()

    def pause(self, name: str) -> StudySummary:
        """Let a study rest once each of its trials has ended its epoch, or leave it out of the queue."""
        with self.supervisor.lock:
            state = self._require_allowed(name, "pause")
            if state.status is StudyStatus.QUEUED:
                assert state.job is not None
                state.job.change(held=True)
            else:
                steering.ask_to_pause(self.home.study(name))
        return self.state(name).summary()

    def stop(self, name: str) -> StudySummary:
        """End a study's run now; every finished epoch is kept. Also takes it out of the queue."""
        with self.supervisor.lock:
            state = self._require_allowed(name, "stop")
            job = state.job
            if state.status is StudyStatus.QUEUED:
                assert job is not None
                job.cancel()
            elif found := holder(self.home.study(name)) if state.ledger else None:
                refuse_elsewhere(found, name)
                _end(found.pid, job)
            elif job:
                job.stop(job.pid)
        return self.state(name).summary()

    def resume(self, name: str, changes: Mapping[str, Any] | None = None) -> StudySummary:
        """Let a study that does not run wait for its turn again, with ``changes`` of its settings."""
        with self.supervisor.lock:
            state = self._require_allowed(name, "resume" if not changes else "extend")
            named = self._check(state, changes or {})
            self._again(state, named)
        return self.state(name).summary()

    def extend(self, name: str, changes: Mapping[str, Any]) -> StudySummary:
        """Grant a study more, or another space; one that runs hears of it, any other goes on with it.

        ``changes`` are spelled as ``services/config/changes.py`` has it: ``+10m`` adds to what was granted.
        """
        with self.supervisor.lock:
            state = self._require_allowed(name, "extend")
            named = self._check(state, changes)
            if state.status.live:
                steering.change(self.home.study(name), named)
            else:
                self._again(state, named)
        return self.state(name).summary()

    def change(self, name: str, changes: Mapping[str, Any], priority: int | None = None) -> StudySummary:
        """Change budget, space or priority of a study without starting it."""
        with self.supervisor.lock:
            state = self.state(name)
            if changes:
                self._require_allowed(name, "extend")
                named = self._check(state, changes)
                if state.status.live:
                    steering.change(self.home.study(name), named)
                else:
                    with lease(self.home.study(name)) as fence:
                        ledger = Ledger.open(self.home.study(name), fence)
                        config = extend(ledger.config, named, ledger.used)
                        _refuse_other_data(ledger.config, config)
                        ledger.extend(config)
            if priority is not None and state.job:
                state.job.change(priority=priority)
        return self.state(name).summary()

    # deleting

    def delete(self, name: str) -> StudySummary:
        """Delete a study that does not run; for a while it can be restored, unless it never began."""
        with self.supervisor.lock:
            state = self._require_allowed(name, "delete")
            summary = state.summary()
            if state.ledger is None:
                for job in self.supervisor.jobs.of(name):
                    self.supervisor.jobs.remove(job)
                self._readers.forget(name)
                return summary
            until = deletion.delete(self.home.study(name), self.settings.undo_s)
        return _restorable(summary, until)

    def deleted(self) -> list[StudySummary]:
        """The studies that were deleted and can be restored."""
        jobs = self.supervisor.jobs.latest()
        return [
            _restorable(found, until)
            for name, until in deletion.deleted(self.home).items()
            if (state := StudyState(self._readers.of(name), jobs.get(name))).exists
            and (found := _summary(state))
        ]

    def restore(self, name: str) -> StudySummary:
        """Bring back a study that was deleted. Raises ``StudyNotFoundError`` when it is too late."""
        deletion.restore(self.home.study(name))
        return self.state(name).summary()

    # trials

    def enqueue(self, name: str, settings: Mapping[str, Any]) -> dict[str, object]:
        """Let a trial made by hand be the next of a study; returns its parameters."""
        self._require_allowed(name, "enqueue")
        space = session.space_of(self.home.study(name), ignore)
        return steering.enqueue(self.home.study(name), settings, space)

    def trial(self, name: str, number: int) -> TrialDetail:
        """All that is known of a trial. Raises ``UnknownNameError`` when there is none of that number."""
        known = self.snapshot(name).trials
        found = next((record for record in known if record.number == number), None)
        if found is None:
            raise UnknownNameError(f"study {name!r} has no trial {number}; it has {len(known)}")
        return detail(found, self.links(name).get(number))

    def log(self, name: str, most_bytes: int) -> str:
        """What the process of the study's latest run said; of a long log the last ``most_bytes``."""
        job = self.state(name).job
        if job is None or not job.log.exists():
            return ""
        with job.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most_bytes))
            return file.read().decode(errors="replace")

    def retry(self, name: str, number: int) -> None:
        """Let a stopped trial go on, or a failed one begin anew, when its study runs."""
        self.state(name)
        steering.retry(self.home.study(name), number)

    def stop_trial(self, name: str, number: int) -> None:
        """Let a running trial end with its present epoch."""
        self.state(name)
        steering.stop_trial(self.home.study(name), number)

    # within

    def _look_first(self) -> None:
        with suppress(ConvscoutError):  # whoever asks is told
            self.studies()

    def _latest_job(self, name: str) -> Job | None:
        return self.supervisor.jobs.latest().get(name)

    def _data_of_waiting(self) -> dict[str, str]:
        """Of each study that is about to begin, what its images are."""
        begins = (job for job in self.supervisor.jobs.latest().values() if job.kind is JobKind.SEARCH)
        return {job.study: requested(job).data for job in begins if job.state.active}

    def _positions(self) -> dict[str, int]:
        return {job.study: place for place, job in enumerate(self.supervisor.queue(), start=1)}

    def _require_allowed(self, name: str, action: str) -> StudyState:
        """The study, if ``action`` can be done to it now. Raises ``StudyStateError``."""
        state = self.state(name)
        if action not in state.actions:
            possible = ", ".join(state.actions) or "nothing"
            raise StudyStateError(
                f"study {name!r} is {state.status}: cannot {action}; possible now: {possible}"
            )
        return state

    def _refuse_name(self, config: StudyConfig) -> None:
        Ledger.refuse_name(self.home.study(config.name), config.data)
        job = self._latest_job(config.name)
        if job and job.state.active:
            raise StudyExistsError(f"study {config.name!r} waits already to begin; choose another name")

    def _check(self, state: StudyState, changes: Mapping[str, Any]) -> dict[str, Any]:
        """``changes`` by field name. Raises ``ConfigError`` for what may not change, or not so."""
        named = merge(changes)
        refuse_reserved(named)
        named = self.datasets.resolve(named)
        check_spelling(named)
        if state.ledger:
            extend(state.ledger.config, named)
        return named

    def _again(self, state: StudyState, changes: Mapping[str, Any]) -> None:
        """Queue what goes on with a study that does not run, or begins it if it never came so far."""
        job, name = state.job, state.reader.ref.name
        if job and job.held and job.state is JobState.QUEUED:
            if not changes:
                job.change(held=False)
                return
            job.cancel()  # another one takes its place, with the changes
        if state.ledger is None:
            assert job is not None
            self._search(requested(job), job.priority)
            return
        config = extend(state.ledger.config, changes)
        words = ["resume", name, *self._where(), "--json"]
        files = {}
        if changes:
            files["changes.toml"] = _changes_toml(changes)
            words += ["--config", "{job}/changes.toml"]
        self.supervisor.jobs.add(
            JobKind.RESUME,
            name,
            words,
            priority=job.priority if job else 0,
            files=files,
            **_demand(config),
        )

    def _search(self, config: StudyConfig, priority: int) -> None:
        self.supervisor.jobs.add(
            JobKind.SEARCH,
            config.name,
            ["search", "--config", "{job}/study.toml", *self._where(), "--json"],
            priority=priority,
            files={"study.toml": to_toml(config)},
            **_demand(config),
        )

    def _where(self) -> list[str]:
        return ["--home", str(self.home.root)]


def refuse_reserved(named: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` for settings by field name that only who starts the service may decide."""
    rule = "cannot be chosen through the service, as it would let clients have it connect anywhere"
    problems = [
        Problem(field=SETTINGS[name].path, value=named[name], rule=rule)
        for name in RESERVED
        if named.get(name) is not None
    ]
    if problems:
        raise ConfigError(problems)


def _refuse_other_data(before: StudyConfig, after: StudyConfig) -> None:
    """Raise ``ConfigError`` where the images are said to lie elsewhere, but are not read to be compared."""
    if after.data != before.data:
        rule = "can only change when the study is resumed, which compares the images with those it began with"
        raise ConfigError([Problem(field=SETTINGS["data"].path, value=after.data, rule=rule)])


def _summary(state: StudyState) -> StudySummary | None:
    """A study as a list shows it, or None when it has been removed since we looked."""
    with suppress(StudyNotFoundError):
        return state.summary()
    return None


def _restorable(study: StudySummary, until: datetime.datetime) -> StudySummary:
    """A deleted study, which can be restored ``until`` then."""
    following = f"convscout restore {study.name}"
    return study.model_copy(
        update={"deleted_until": until, "actions": ["restore"], "next_command": following}
    )


def _end(pid: int, job: Job | None) -> None:
    """Ask the process that runs a study to end, whether or not it belongs to ``job``."""
    if job and job.state is JobState.RUNNING:
        job.stop(pid)
    else:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _demand(config: StudyConfig) -> dict[str, int | None]:
    """What the study takes of the machine, as far as its settings say; None is all of it."""
    threads = config.threads or 1
    cores = config.workers * threads if config.workers else None
    if device_of(config, None).type == "cpu":
        return {"cores": cores, "gpus": 0}
    shared = config.workers and config.gpus_per_trial != AUTO
    gpus = max(1, round(config.workers * float(config.gpus_per_trial))) if shared and config.workers else None
    return {"cores": cores or 1, "gpus": gpus}


def _changes_toml(changes: Mapping[str, Any]) -> str:
    """``changes``, by field name, as a file for ``--config``."""
    document = tomlkit.document()
    for name, value in changes.items():
        setting = SETTINGS[name]
        if name == "space":
            document.append("space", tomlkit.item(dict(value)))
            continue
        table = document.setdefault(setting.section, tomlkit.table())
        table.append(setting.key, tomlkit.item(value))
    return tomlkit.dumps(document)
