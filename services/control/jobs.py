"""Jobs: commands of convscout that the service has run, each as a process of its own, which outlives the service.

A job is a directory under ``service/jobs`` of the home, and what lies there says how it stands, whoever looks:
``job.json`` what is to be run, ``started`` that it was, ``lock`` held by its process for as long as that lives,
``exit.json`` how it ended, ``log`` what it said on the way and ``output.json`` its answer. So a service that was killed
loses track of nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convscout.services.config.home import Home
from convscout.services.schemas.jobs import JobKind, JobState
from convscout.services.system.locks import is_free
from convscout.services.system.private_files import TOKEN_VARIABLE
from convscout.trials.checkpoints.durable_files import put_file

START_S = 60.0
"""How long a process may take until it holds its lock; one that has not by then has been killed."""
CANCELLED = 130


@dataclass(kw_only=True)
class Job:
    """One command: ``arguments`` are those of ``convscout``. A higher ``priority`` comes first.

    ``cores`` and ``gpus`` are what it takes of the machine, None all of it. ``created_at`` is in seconds since 1970. A
    job that is ``held`` waits until a person lets it go on. ``path`` is its directory.
    """

    id: str
    kind: JobKind
    study: str
    arguments: tuple[str, ...]
    created_at: float
    path: Path
    priority: int = 0
    cores: int | None = None
    gpus: int | None = None
    held: bool = False
    _ended: dict[str, Any] | None = field(default=None, init=False)  # which never changes once there is one

    @property
    def state(self) -> JobState:
        """How it stands now."""
        if (code := self.exit_code) is not None:
            return JobState.DONE if code == 0 else JobState.FAILED
        started = self.started_at
        if started is None:
            return JobState.QUEUED
        held = self.pid is not None  # read first: its process may take the lock between two looks
        lock = self.path / "lock"
        if lock.exists() and not is_free(lock):
            return JobState.RUNNING
        if (self.path / "exit.json").exists():  # it ended between two looks
            return self.state
        return JobState.LOST if held or time.time() - started > START_S else JobState.RUNNING

    @property
    def exit_code(self) -> int | None:
        """What its process ended with, None while it has not."""
        return int(ended["code"]) if (ended := self._end_note()) else None

    @property
    def error(self) -> str:
        """What went wrong, of one that ended with an error; empty of one whose process was killed."""
        ended = self._end_note()
        return str(ended.get("error", "")) if ended else ""

    def _end_note(self) -> dict[str, Any] | None:
        if self._ended is None:
            with suppress(FileNotFoundError):
                self._ended = json.loads((self.path / "exit.json").read_text())
        return self._ended

    @property
    def started_at(self) -> float | None:
        """When its process was begun, in seconds since 1970."""
        with suppress(FileNotFoundError, ValueError):
            return float((self.path / "started").read_text())
        return None

    @property
    def pid(self) -> int | None:
        """Of its process, which may have ended."""
        with suppress(FileNotFoundError, ValueError):
            return int((self.path / "lock").read_text())
        return None

    @property
    def yielding(self) -> bool:
        """Whether it was asked to pause so that another one has its turn."""
        return (self.path / "yield").exists()

    @property
    def stopping(self) -> bool:
        """Whether a person has asked it to end."""
        return (self.path / "stopping").exists()

    @property
    def cancelled(self) -> bool:
        """Whether it was taken out of the queue."""
        return self.exit_code == CANCELLED and self.started_at is None

    @property
    def log(self) -> Path:
        """What it said: notes, errors."""
        return self.path / "log"

    @property
    def output(self) -> Any:
        """Its answer, of a job that is done."""
        return json.loads((self.path / "output.json").read_text())

    def start(self) -> None:
        """Begin its process, which is nobody's child. What is secret of ours is not in its environment."""
        (self.path / "started").write_text(str(time.time()))
        environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
        with self.log.open("ab") as log, (self.path / "output.json").open("wb") as output:
            subprocess.run(
                [
                    "/bin/sh",
                    "-c",
                    '"$@" &',
                    "sh",
                    sys.executable,
                    "-P",  # a person's files here may have the names of modules
                    "-m",
                    "convscout.services.cli.job",
                    str(self.path),
                ],
                check=True,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,  # what ends the service does not end it
            )

    def give_way(self) -> None:
        """Note that it is paused for the sake of another."""
        (self.path / "yield").touch()

    def stop(self, pid: int | None) -> None:
        """Ask the process of that id, which runs it, to end; one that has none yet looks once it has."""
        (self.path / "stopping").touch()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def cancel(self) -> None:
        """Take it out of the queue, where it waits."""
        self.end(CANCELLED)

    def end(self, code: int, error: str = "") -> None:
        """Note what its process ended with, and what went wrong, if anything did."""
        note = {"code": code, "at": time.time(), "error": error}
        put_file(self.path / "exit.json", json.dumps(note).encode())

    def change(self, *, priority: int | None = None, held: bool | None = None) -> None:
        """Let it have another priority, or be held no longer, or from now on."""
        self.priority = self.priority if priority is None else priority
        self.held = self.held if held is None else held
        self.save()

    def save(self) -> None:
        """Write what it is."""
        values = {name: value for name, value in asdict(self).items() if name not in ("path", "_ended")}
        put_file(self.path / "job.json", json.dumps(values).encode())


class Jobs:
    """All jobs of ``home``. Only the service adds and changes them, so they are read once."""

    def __init__(self, home: Home) -> None:
        self._directory = home.root / "service" / "jobs"
        self._jobs = {job.id: job for job in sorted(self._read(), key=lambda each: each.created_at)}

    def add(
        self,
        kind: JobKind,
        study: str,
        arguments: Sequence[str],
        *,
        files: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Job:
        """A new job that waits, with ``files`` beside it, by name.

        In ``arguments``, ``{job}`` stands for its directory and ``{id}`` for its id.
        """
        now = time.time()
        id = f"{now:.6f}".replace(".", "-") + f"-{uuid.uuid4().hex[:8]}"
        path = self._directory / id
        path.mkdir(parents=True)
        for name, text in (files or {}).items():
            (path / name).write_text(text, encoding="utf-8")
        words = tuple(word.replace("{job}", str(path)).replace("{id}", id) for word in arguments)
        job = Job(id=id, kind=kind, study=study, arguments=words, created_at=now, path=path, **settings)
        job.save()
        self._jobs[id] = job
        return job

    def _read(self) -> Iterator[Job]:
        for path in self._directory.glob("*/job.json"):
            with suppress(FileNotFoundError):  # the service has removed it since
                yield read_job(path.parent)

    def __iter__(self) -> Iterator[Job]:
        """Every job, the oldest first."""
        return iter(list(self._jobs.values()))

    def get(self, id: str) -> Job | None:
        """The job of that ``id``, if there is one."""
        return self._jobs.get(id)

    def of(self, study: str) -> list[Job]:
        """Those of one study, the oldest first."""
        return [job for job in self if job.study == study]

    def latest(self) -> dict[str, Job]:
        """Of each study the latest job that runs it."""
        return {job.study: job for job in self if job.kind.runs_study}

    def remove(self, job: Job) -> None:
        """Forget a job that has ended."""
        self._jobs.pop(job.id, None)
        shutil.rmtree(job.path, ignore_errors=True)


def read_job(path: Path) -> Job:
    """The job whose directory is ``path``."""
    values = json.loads((path / "job.json").read_text())
    words = _rebase(values["arguments"], str(path.parents[2]))
    values |= {"kind": JobKind(values["kind"]), "arguments": words}
    return Job(**values, path=path)


def _rebase(arguments: Sequence[str], home: str) -> tuple[str, ...]:
    """``arguments`` for the home in which the job lies now, which may have been moved or copied since."""
    if "--home" not in arguments[:-1]:
        return tuple(arguments)
    old = arguments[arguments.index("--home") + 1]
    return tuple(home + word[len(old) :] if f"{word}/".startswith(f"{old}/") else word for word in arguments)
