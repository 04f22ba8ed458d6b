"""A small real study in a process of its own, to be killed: forked from a server that has all imports done.

So a run takes a second or two of training and a few for the export, and can be killed at any moment of its own work.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import sklearn.datasets  # noqa: F401 - what a run imports late, the server imports once
import torch.onnx  # noqa: F401

import services.exporters.onnx
import services.report
import services.tracking.champion  # noqa: F401
from services import runner  # noqa: F401
from services.check import check
from services.cli import main
from services.config_file import to_toml
from services.ensembles.ensemble import Ensemble
from services.exporting import default_formats
from services.finish import stored_outcome
from services.home import Home
from services.lease import holder
from services.placement import num_cores
from services.study import Ledger
from tests.services.studies import bundle_alone, essence, tiny_config
from trials.config import TrialState
from trials.kill_points import VARIABLE

STUDY = "tiny"
PATIENCE_S = 300.0
KILLED = -9

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Victim:
    """The study under ``home``, which is searched with ``options``; it is a bundle alone within ``bundle_alone``."""

    home: Path
    options: dict[str, Any] = field(default_factory=dict)

    def start(self, *options: str, kill_at: str = "", memory: int | None = None) -> ForkServerProcess:
        """Search, or resume with ``options``, from the command line, until it ends or passes the point ``kill_at``.

        It can allocate no more than ``memory`` bytes.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        process = _context.Process(
            target=_live, args=(self, options, kill_at, memory, default_formats()), daemon=True
        )
        process.start()
        return process

    def live(self, *options: str, kill_at: str = "", memory: int | None = None) -> int:
        """As ``start``, and wait; returns the exit code, in which a signal is negative."""
        process = self.start(*options, kill_at=kill_at, memory=memory)
        process.join(PATIENCE_S)
        assert process.exitcode is not None, f"it hangs: {self.log}"
        return process.exitcode

    @property
    def log(self) -> str:
        """The end of what it said."""
        return (self.home / "log").read_text()[-3000:]

    @property
    def finished(self) -> dict[int, tuple[object, ...]]:
        """The essence of each trial that has ended, by number."""
        home = Home(self.home)
        if STUDY not in Ledger.names(home):
            return {}
        records = Ledger.open(home, STUDY).trials()
        return {r.number: essence(r) for r in records if r.trained and r.state is not TrialState.RUNNING}

    @property
    def ensemble(self) -> Ensemble | None:
        """What the study came to, if it has ended."""
        outcome = stored_outcome(Ledger.open(Home(self.home), STUDY))
        return outcome.ensemble if outcome else None

    def complaints(self, like: Victim) -> list[str]:
        """What does not hold of a study that ended and should be as the one that ran undisturbed."""
        found = [str(finding) for finding in check(Home(self.home), STUDY)]
        if self.finished != like.finished:
            found.append(f"trials differ: {self.finished} from {like.finished}")
        if self.ensemble != like.ensemble:
            found.append(f"the ensemble differs: {self.ensemble} from {like.ensemble}")
        if left := holder(Home(self.home), STUDY):
            found.append(f"{left} still holds it")
        return found


def complaints_of(fault: Callable[[str], Iterable[str]], cases: Sequence[str]) -> dict[str, list[str]]:
    """What ``fault`` complains of, by case, where it does; as many cases at a time as there are cores."""
    with ThreadPoolExecutor(num_cores()) as threads:
        found = threads.map(lambda case: list(fault(case)), cases)
        return {case: complaints for case, complaints in zip(cases, found, strict=True) if complaints}


def _live(
    victim: Victim, options: tuple[str, ...], kill_at: str, memory: int | None, formats: tuple[str, ...]
) -> None:
    log = os.open(victim.home / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if kill_at:
        os.environ[VARIABLE] = kill_at
    if memory:
        limit = psutil.Process().memory_info().vms + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if STUDY in Ledger.names(Home(victim.home)):
        command = ["resume", STUDY, *options]
    else:
        file = victim.home / "study.toml"
        file.write_text(to_toml(tiny_config(STUDY, **victim.options)), encoding="utf-8")
        command = ["search", "--config", str(file)]
    with bundle_alone() if formats == ("bundle",) else nullcontext():
        main([*command, "--home", str(victim.home)])
