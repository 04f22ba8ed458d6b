"""Row 1 of the faults: ``kill -9`` of the controller and everything below it, at random moments, to the end.

A real study through Ray is started, killed and resumed until it ends by itself; then the invariants hold:
I1 no finished trial is lost or changed, I2 each trial finishes once and trains few epochs twice, I3 every
trial is final, I4 ledger and MLflow agree, I5 published files match their hashes, I7 nothing is left running.
Row 2: killed as it counts a worker that was killed. Row 6: the same when Ray alone dies.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from convscout.services.config.home import Home
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.check import check
from convscout.services.studies.outcome import OPENINGS_NOTE, load_outcome
from convscout.trials.checkpoints.kill_points import EXIT_CODE, VARIABLE, Write
from convscout.trials.config import TrialState
from tests.support import controller
from tests.support.controller import EPOCHS, SCOUTS, STUDY, TRIALS
from tests.support.forked import Forked
from tests.support.planes import until
from tests.support.processes import processes_of
from tests.support.soaking import repetitions
from tests.support.studies import bundle_alone, essence

KILLS = repetitions(2, 20)


@pytest.fixture(scope="module", autouse=True)
def _bundles() -> Iterator[None]:
    """What the controllers export, and ``check`` expects; ``test_random_kills.py`` kills exports of all formats."""
    with bundle_alone():
        yield


def _start(home: Path, **environment: str) -> Forked:
    return Forked(controller.main, home, log=home.parent / "log", environment=environment)


def _kill(process: Forked) -> None:
    """SIGKILL the process, its group and all its descendants, which Ray puts into groups of their own."""
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _finished(home: Path) -> dict[int, tuple[object, ...]]:
    if STUDY not in Ledger.names(Home(home)):
        return {}
    records = Ledger.open(Home(home).study(STUDY)).trials()
    return {r.number: essence(r) for r in records if r.state.scored}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(repetitions(600, 7200))
def test_nothing_is_lost_however_often_a_study_is_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    moments = random.Random(2026)
    known: dict[int, tuple[object, ...]] = {}
    kills = 0
    process = _start(home)
    while kills < KILLS:
        # past the imports, at any moment of set-up, training, ensemble or export
        patience = time.monotonic() + moments.uniform(4, 14)
        while time.monotonic() < patience and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is not None:
            break
        _kill(process)
        kills += 1
        now = _finished(home)
        assert known.items() <= now.items(), "I1: a finished trial was lost or changed"
        known = now
        process = _start(home)
    assert process.wait() == 0, process.said
    assert kills >= 1, "the study ended before the first kill"
    ledger = Ledger.open(Home(home).study(STUDY))
    records = [record for record in ledger.trials() if record.trained]
    assert known.items() <= _finished(home).items(), "I1"
    assert len(records) == TRIALS, "I2: the budget was not kept"
    assert all(record.state is TrialState.COMPLETED for record in records), "I3"
    assert all([m.epoch for m in r.measurements] == list(range(1, r.planned_epochs + 1)) for r in records), (
        "I2"
    )
    scouts = {record.number for record in records if record.is_scout}
    assert len(scouts) == SCOUTS, "I2"
    assert {r.grown_from for r in records if not r.is_scout} == scouts, "a contender grows from each, once"
    assert {r.planned_epochs for r in records if not r.is_scout} == {EPOCHS}
    assert load_outcome(ledger) is not None
    assert check(Home(home).study(STUDY)) == [], "I3, I4, I5"
    assert len(ledger.note(OPENINGS_NOTE)) >= 1
    assert not processes_of(home), "I7"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ray_goes_when_its_controller_is_killed_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = _start(home)
    patience = time.monotonic() + 120
    while not _finished(home) and time.monotonic() < patience:
        time.sleep(0.2)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    _, alive = psutil.wait_procs(family, timeout=180)
    assert not alive, f"I7: {[member.name() for member in alive]} outlived their controller"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_whose_ray_dies_ends_and_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = _start(home)
    patience = time.monotonic() + 240
    while not _finished(home) and time.monotonic() < patience:
        time.sleep(0.2)
    known = _finished(home)
    assert known, process.said
    family = psutil.Process(process.pid).children(recursive=True)
    servers = [member for member in family if member.name() in ("raylet", "gcs_server")]
    assert len(servers) == 2
    for server in servers:
        server.kill()
    assert process.wait() not in (0, None), "I6"
    # a shell beside it says the last words, once it is gone
    until(lambda: f"next: convscout resume {STUDY}" in process.said, "I6", lambda: process.said)
    assert known.items() <= _finished(home).items(), "I1"
    assert _start(home).wait() == 0, process.said
    _, alive = psutil.wait_procs(family, timeout=180)
    assert not alive, f"I7: {[member.name() for member in alive]}"
    assert check(Home(home).study(STUDY)) == []
    assert known.items() <= _finished(home).items(), "I1"
    assert (
        len([record for record in Ledger.open(Home(home).study(STUDY)).trials() if record.trained]) == TRIALS
    ), "I2"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.soak
@pytest.mark.parametrize("side", repetitions(["before"], ["before", "after"]))
def test_a_controller_that_dies_as_it_counts_a_lost_worker_goes_on(side: str, tmp_path: Path) -> None:
    """Row 2 for the one write that takes a worker to be lost: a trial is not given up for it."""
    home = tmp_path / "home"
    process = _start(home, **{VARIABLE: f"{side}-{Write.LOSE}:1"})
    patience = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < patience:
        for member in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "Trainable" in " ".join(member.cmdline()):
                    member.kill()
        time.sleep(0.2)
    assert process.wait() == EXIT_CODE, process.said
    assert _start(home).wait() == 0, process.said
    assert check(Home(home).study(STUDY)) == []
    records = [record for record in Ledger.open(Home(home).study(STUDY)).trials() if record.trained]
    assert [record.state for record in records] == [TrialState.COMPLETED] * TRIALS
    assert max(record.worker_failures for record in records) <= 1
