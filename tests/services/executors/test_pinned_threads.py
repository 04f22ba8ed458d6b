"""Ray's workers keep to their cores: of a trial one thread computes, and Ray's own threads sleep."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import mean
from types import TracebackType
from typing import Self

import psutil
import pytest

from convscout.services.config.home import Home
from convscout.services.events.events import EpochEnded, Event
from convscout.services.studies import run
from tests.support.studies import bundle_alone, tiny_config

WORKERS = 2
SAMPLE_EVERY_S = 0.02
# Two that compute have half each. Ray's own threads go by the clock, so they add up where others delay the training:
# to an eighth on two cores with a load of nine.
ALONE = 0.8


class Sampler:
    """Looks at the processes that this one started, from the first epoch's end until it is left."""

    def __init__(self) -> None:
        self.cpu_s: dict[int, dict[int, float]] = {}  # by trainer and thread, since the first look
        self.runnable: list[int] = []  # threads of all processes that computed or waited for a core
        self._first: dict[int, dict[int, float]] = {}
        self._begun, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._look)

    def begin(self, event: Event) -> None:
        """The listener that starts it."""
        if isinstance(event, EpochEnded):
            self._begun.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._begun.set()
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        self._begun.wait()
        started = psutil.Process().children(recursive=True)
        trainers = [process for process in started if "Trainable" in " ".join(process.cmdline())]
        with suppress(psutil.NoSuchProcess, FileNotFoundError):  # the search has ended
            while not self._done.wait(SAMPLE_EVERY_S):
                states = [_state(task) for each in started for task in _tasks(each.pid)]
                self.runnable.append(states.count("R"))
                for trainer in trainers:
                    spent = {t.id: t.user_time + t.system_time for t in trainer.threads()}
                    first = self._first.setdefault(trainer.pid, spent)
                    since = {thread: s - first.get(thread, 0.0) for thread, s in spent.items()}
                    self.cpu_s.setdefault(trainer.pid, {}).update(since)  # threads may have ended


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _state(task: Path) -> str:
    """One letter: R for a thread that computes or waits for a core."""
    with suppress(FileNotFoundError, ProcessLookupError):  # a thread may end at any time
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    return ""


def sampled(tmp_path: Path, threads: int | None) -> Sampler:
    """What two workers and Ray did while they trained networks large enough for more threads."""
    space = {"lenet.width": 32, "recipe.batch_size": 256}
    config = tiny_config(
        "pinned", executor="ray", workers=WORKERS, threads=threads, trials=WORKERS, epochs=6, space=space
    )
    with bundle_alone(), Sampler() as sampler:
        run.search(config, Home(tmp_path), sampler.begin, time.time())
    return sampler


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_of_a_worker_one_thread_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    sampler = sampled(tmp_path, None)
    assert len(sampler.cpu_s) == WORKERS
    assert all(_busiest_share(cpu_s) > ALONE for cpu_s in sampler.cpu_s.values())
    # all processes together, Ray's among them: more would wait for a core that another trial needs
    assert mean(sampler.runnable) < WORKERS + 0.75


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_two_threads_would_have_been_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    sampler = sampled(tmp_path, 2)
    assert all(_busiest_share(cpu_s) < ALONE for cpu_s in sampler.cpu_s.values())


def _busiest_share(cpu_s: dict[int, float]) -> float:
    """Of the time that all threads of a process computed. What else the machine does leaves it as it is."""
    return max(cpu_s.values()) / sum(cpu_s.values())
