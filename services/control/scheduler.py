"""Supervisor: lets jobs begin, pause and go on as the machine has room, and notices how they end.

It remembers nothing that does not lie in the jobs' directories or in the ledger, so that the service may be killed
and started again at any moment: what ran goes on running meanwhile, and what waited is waiting still.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.control.jobs import Job, Jobs
from convscout.services.control.scheduling import Demand, Running, Waiting, plan
from convscout.services.control.settings import ServiceSettings
from convscout.services.control.study_reader import Readers, StudyReader
from convscout.services.ledger.ledger import Ledger
from convscout.services.schemas.jobs import JobKind, JobState
from convscout.services.schemas.study_status import StudyStatus
from convscout.services.studies import commands as steering
from convscout.services.studies.deletion import purge
from convscout.services.system.resources import num_cores

_log = logging.getLogger(__name__)
_TICK_S = 0.5
PURGE_S = 600.0
MOST_KEPT = 20  # jobs of one study
MOST_SHORT = 2  # short jobs at a time; each takes a core for a while


class Supervisor:
    """Looks after the jobs of ``home``. ``lock`` is held while it decides, and by whoever adds or changes a job."""

    def __init__(self, home: Home, settings: ServiceSettings, readers: Readers) -> None:
        self.jobs = Jobs(home)
        self.lock = threading.RLock()
        self._home = home
        self._settings = settings
        self._readers = readers
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within, jobs are begun; those that run at the end go on without us."""
        thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    @property
    def machine(self) -> Demand:
        """What studies share."""
        return Demand(cores=self._settings.cores or num_cores(), gpus=torch.cuda.device_count())

    def tick(self) -> None:
        """Look once at everything, and do what is to be done."""
        with self.lock:
            jobs = list(self.jobs)
            self._requeue(jobs)
            self._begin_short(jobs)
            self._schedule(jobs)
            self._forget(jobs)

    def purge(self) -> None:
        """Remove for good what was deleted too long ago to be restored."""
        for name in purge(self._home):
            for job in self.jobs.of(name):
                self.jobs.remove(job)
            self._readers.forget(name)

    def queue(self) -> list[Job]:
        """The jobs that wait for their turn, in the order in which they have it."""
        jobs = {job.id: job for job in self.jobs if _waits(job)}
        return [jobs[each.id] for each in sorted(map(self._waiting, jobs.values()), key=lambda one: one.rank)]

    def _run(self) -> None:
        purged_at = -PURGE_S
        while not self._stop.is_set():
            try:
                self.tick()
                if time.monotonic() - purged_at >= PURGE_S:
                    purged_at = time.monotonic()
                    self.purge()
            except Exception as error:  # whatever it is, studies go on and the next look may succeed
                _log.error("supervisor: %s: %s", type(error).__name__, error)
            self._stop.wait(_TICK_S)

    def _requeue(self, jobs: list[Job]) -> None:
        """Let those wait again that were paused for the sake of another."""
        for job in jobs:
            if (
                job.yielding
                and not job.stopping
                and not job.state.active
                and not (job.path / "requeued").exists()
            ):
                reader = self._readers.of(job.study)
                reader.look()
                if reader.ended and reader.ended.facts.get("how") == StudyStatus.PAUSED:
                    self.jobs.add(
                        JobKind.RESUME,
                        job.study,
                        ["resume", job.study, "--home", str(self._home.root), "--json"],
                        priority=job.priority,
                        cores=job.cores,
                        gpus=job.gpus,
                    )
                (job.path / "requeued").touch()

    def _begin_short(self, jobs: list[Job]) -> None:
        short = [job for job in jobs if not job.kind.runs_study]
        running = sum(job.state is JobState.RUNNING for job in short)
        for job in short:
            if running < MOST_SHORT and job.state is JobState.QUEUED:
                job.start()
                running += 1

    def _schedule(self, jobs: list[Job]) -> None:
        waiting = [self._waiting(job) for job in jobs if _waits(job)]
        if not waiting:
            return
        todo = plan(self.machine, waiting, self._running(jobs), self._settings.slice_s)
        known = {job.id: job for job in jobs}
        for id in todo.start:
            known[id].start()
        for id in todo.give_way:
            self._yield(known[id])

    def _forget(self, jobs: list[Job]) -> None:
        """Remove jobs that ended long ago: each look reads them all."""
        by_study: dict[str, list[Job]] = {}
        for job in jobs:
            by_study.setdefault(job.study, []).append(job)
        for found in by_study.values():
            for job in found[:-MOST_KEPT]:
                if not job.state.active:
                    self.jobs.remove(job)

    def _running(self, jobs: list[Job]) -> list[Running]:
        """The studies that run now, those included that were begun by hand."""
        active = {job.study: job for job in jobs if job.kind.runs_study and job.state is JobState.RUNNING}
        found = [
            Running(
                id=job.id,
                demand=self._demand(job),
                priority=job.priority,
                running_s=_running_s(self._readers.of(job.study)),
                yielding=job.yielding,
            )
            for job in active.values()
        ]
        for name in Ledger.names(self._home):
            reader = self._readers.of(name)
            reader.look()
            if name not in active and reader.ledger and (holder := reader.ledger.holder) and holder.is_here:
                workers = reader.progress.search.workers if reader.progress.search else self.machine.cores
                demand = Demand(cores=min(workers, self.machine.cores), gpus=0)
                found.append(Running(id=None, demand=demand, priority=0, running_s=0.0))
        return found

    def _waiting(self, job: Job) -> Waiting:
        reader = self._readers.of(job.study)
        reader.look()
        return Waiting(
            id=job.id,
            demand=self._demand(job),
            priority=job.priority,
            served_s=reader.elapsed_s,
            created_at=job.created_at,
        )

    def _demand(self, job: Job) -> Demand:
        machine = self.machine
        cores = machine.cores if job.cores is None else min(job.cores, machine.cores)
        gpus = machine.gpus if job.gpus is None else min(job.gpus, machine.gpus)
        return Demand(cores=cores, gpus=gpus)

    def _yield(self, job: Job) -> None:
        """Let a running study pause for another; one that has only begun is asked at the next look."""
        try:
            steering.ask_to_pause(self._home.study(job.study))
        except ConvscoutError:
            return
        job.give_way()


def _waits(job: Job) -> bool:
    return job.kind.runs_study and not job.held and job.state is JobState.QUEUED


def _running_s(reader: StudyReader) -> float:
    reader.look()
    return reader.progress.elapsed_s if reader.began_at and not reader.ended else 0.0
