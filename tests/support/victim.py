"""A small real study in a process of its own, to be killed at any moment of its work, which takes a few seconds."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from convscout.services.cli import main
from convscout.services.config.home import Home
from convscout.services.config.toml import to_toml
from convscout.services.ensembles.ensemble import Ensemble
from convscout.services.export.writer import default_formats
from convscout.services.ledger.lease import holder
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.check import check
from convscout.services.studies.outcome import load_outcome
from convscout.services.system.resources import num_cores
from convscout.trials.checkpoints.kill_points import VARIABLE
from convscout.trials.config import TrialState
from tests.support.forked import Forked
from tests.support.studies import bundle_alone, essence, tiny_config

STUDY = "tiny"


@dataclass(frozen=True)
class Victim:
    """The study under ``home``, which is searched with ``options``; it is a bundle alone within ``bundle_alone``."""

    home: Path
    options: dict[str, Any] = field(default_factory=dict)

    def start(self, *options: str, kill_at: str = "", memory: int | None = None) -> Forked:
        """Search, or resume with ``options``, from the command line, until it ends or passes the point ``kill_at``.

        It can allocate no more than ``memory`` bytes.
        """
        environment = {VARIABLE: kill_at} if kill_at else {}
        return Forked(
            _live, self, options, memory, default_formats(), log=self.home / "log", environment=environment
        )

    def live(self, *options: str, kill_at: str = "", memory: int | None = None) -> int:
        """As ``start``, and wait; returns the exit code, in which a signal is negative."""
        process = self.start(*options, kill_at=kill_at, memory=memory)
        code = process.wait()
        assert code is not None, f"it hangs: {self.log}"
        return code

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
        records = Ledger.open(home.study(STUDY)).trials()
        return {r.number: essence(r) for r in records if r.trained and r.state is not TrialState.RUNNING}

    @property
    def ensemble(self) -> Ensemble | None:
        """What the study came to, if it has ended."""
        outcome = load_outcome(Ledger.open(Home(self.home).study(STUDY)))
        return outcome.ensemble if outcome else None

    def complaints(self, like: Victim) -> list[str]:
        """What does not hold of a study that ended and should be as the one that ran undisturbed."""
        found = [str(finding) for finding in check(Home(self.home).study(STUDY))]
        if self.finished != like.finished:
            found.append(f"trials differ: {self.finished} from {like.finished}")
        if self.ensemble != like.ensemble:
            found.append(f"the ensemble differs: {self.ensemble} from {like.ensemble}")
        if left := holder(Home(self.home).study(STUDY)):
            found.append(f"{left} still holds it")
        return found


def complaints_of(fault: Callable[[str], Iterable[str]], cases: Sequence[str]) -> dict[str, list[str]]:
    """What ``fault`` complains of, by case, where it does; as many cases at a time as there are cores."""
    with ThreadPoolExecutor(num_cores()) as threads:
        found = threads.map(lambda case: list(fault(case)), cases)
        return {case: complaints for case, complaints in zip(cases, found, strict=True) if complaints}


def _live(victim: Victim, options: tuple[str, ...], memory: int | None, formats: tuple[str, ...]) -> None:
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
