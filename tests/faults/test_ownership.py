"""Rows 4, 5, 7 and 8 of the faults: whoever is frozen, doubled or kept waiting, a study has one owner at a time."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from convscout.services.config.home import Home
from convscout.services.ledger.lease import holder
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run
from convscout.trials.config import TrialState
from tests.support import owner
from tests.support.forked import PATIENCE_S, Forked
from tests.support.owner import EPOCHS, RAY_EPOCHS, STUDY, TRIALS, config
from tests.support.postgresql import wait_until
from tests.support.studies import bundle_alone, essences, quiet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE_S)]


class Start(Protocol):
    def __call__(self, what: str, home: Path = ..., /) -> Forked: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a controller that does as it is told; whatever of them is left after the test is killed."""
    started = list[Forked]()

    def start(what: str, home: Path = tmp_path, /) -> Forked:
        process = Forked(owner.main, home, what, log=tmp_path / "said" / str(len(started)))
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for member in family:
                member.kill()


def ended(process: Forked) -> tuple[int | None, str]:
    """The exit code of the process, and what it said; none if it hangs."""
    return process.wait(), process.said


def epochs_reported(home: Path) -> int:
    if STUDY not in Ledger.names(Home(home)):
        return 0
    return sum(len(record.measurements) for record in Ledger.open(Home(home).study(STUDY)).trials())


def freeze(process: Forked, database: Path) -> None:
    """Stop ``process`` outside a transaction: one that is frozen within locks SQLite's file for everybody."""
    while True:
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, PATIENCE_S)
        try:
            with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            time.sleep(0.01)


def check(home: Path, epochs: int = EPOCHS) -> None:
    """I2 and I3: as many trials as were asked for, each of them final, each epoch reported once."""
    records = [record for record in Ledger.open(Home(home).study(STUDY)).trials() if record.trained]
    assert [record.state for record in records] == [TrialState.COMPLETED] * TRIALS
    assert [[m.epoch for m in r.measurements] for r in records] == [list(range(1, epochs + 1))] * TRIALS


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """What the study comes to when nothing happens to it."""
    home = tmp_path_factory.mktemp("undisturbed")
    with bundle_alone():
        run.search(config(), Home(home), quiet, time.time())
    return essences(home, STUDY)


def test_a_frozen_controller_that_wakes_undoes_nothing(
    tmp_path: Path, start: Start, undisturbed: list[tuple[object, ...]]
) -> None:
    """Row 5: it is taken over while it sleeps, and ends with one line when it finds out."""
    frozen = start("search")
    wait_until(lambda: epochs_reported(tmp_path) > EPOCHS // 4, PATIENCE_S)
    freeze(frozen, Home(tmp_path).database)
    known = epochs_reported(tmp_path)
    code, said = ended(start("resume"))
    assert code == 1 and "has shown no sign of life" in said and f"resume {STUDY} --take-over" in said
    taker = start("take-over")
    wait_until(lambda: epochs_reported(tmp_path) > known, PATIENCE_S)
    frozen.send_signal(signal.SIGCONT)
    code, said = ended(frozen)
    assert code == 1 and f"was taken over by process {taker.pid}" in said
    assert ended(taker)[0] == 0
    check(tmp_path)
    assert essences(tmp_path, STUDY) == undisturbed, "I1"
    assert holder(Home(tmp_path).study(STUDY)) is None, "I7"


def test_of_controllers_that_start_at_once_one_runs_the_study(
    tmp_path: Path, start: Start, undisturbed: list[tuple[object, ...]]
) -> None:
    """Row 7."""
    ends = [ended(process) for process in [start("search") for _ in range(3)]]
    assert sorted(code if code is not None else -1 for code, _ in ends) == [0, 2, 2]
    assert sum("exists already" in said for _, said in ends) == 2
    check(tmp_path)
    assert essences(tmp_path, STUDY) == undisturbed


def test_a_database_that_is_locked_is_waited_for(
    tmp_path: Path, start: Start, undisturbed: list[tuple[object, ...]]
) -> None:
    """Row 8: for less and for more time than SQLite itself would wait, side by side as both mostly wait."""

    def search_while_locked(locked_s: float) -> int | None:
        home = tmp_path / str(locked_s)
        process = start("search", home)
        wait_until(lambda: epochs_reported(home) > 0, PATIENCE_S)
        with closing(sqlite3.connect(Home(home).database, timeout=60, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(locked_s)
            other.execute("COMMIT")
        return ended(process)[0]

    lengths_s = (30, 70)
    with ThreadPoolExecutor(len(lengths_s)) as threads:
        assert list(threads.map(search_while_locked, lengths_s)) == [0, 0]
    for locked_s in lengths_s:
        check(tmp_path / str(locked_s))
        assert essences(tmp_path / str(locked_s), STUDY) == undisturbed


def test_a_worker_that_was_frozen_goes_on_or_is_replaced(tmp_path: Path, start: Start) -> None:
    """Row 4: frozen under its controller; then frozen while that is killed, so that its late words find nobody."""
    process = start("search-through-ray")
    wait_until(lambda: epochs_reported(tmp_path) > 0, PATIENCE_S)
    worker = _worker(process.pid)
    worker.suspend()
    time.sleep(5)
    worker.resume()
    known = epochs_reported(tmp_path)
    wait_until(lambda: epochs_reported(tmp_path) > known or process.poll() is not None, PATIENCE_S)
    assert process.poll() is None, "the study ended before the worker could be frozen again"
    worker = _worker(process.pid)
    worker.suspend()
    process.kill()
    ended(process)
    waker = threading.Timer(10, _wake, [worker])
    waker.start()
    assert ended(start("resume"))[0] == 0
    waker.join()
    check(tmp_path, RAY_EPOCHS)
    _, alive = psutil.wait_procs([worker], timeout=180)
    assert not alive, "I7"


def _worker(pid: int) -> psutil.Process:
    """A process that trains below the controller."""
    family = psutil.Process(pid).children(recursive=True)
    return next(each for each in family if "Trainable" in " ".join(each.cmdline()))


def _wake(process: psutil.Process) -> None:
    if process.is_running():
        process.resume()
