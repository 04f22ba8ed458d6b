"""One controller a study, on however many machines, whatever their clocks say and however it dies."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.study import StudyDirection
from sqlalchemy.exc import OperationalError

from convscout.search_space.errors import ConvscoutError, LeaseLostError, StudyLockedError, UserError
from convscout.services.config.home import Home
from convscout.services.ledger import lease as leases
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.fencing import Fence, Holder, read_lease
from convscout.services.ledger.lease import LOCK_FILE, holder, lease, refuse_elsewhere
from convscout.services.ledger.migrations import SCHEMA
from convscout.services.ledger.optuna_schema import SCHEMA_KEY
from convscout.services.ledger.tables import StudyTables
from convscout.trials.checkpoints import durable_files
from tests.support.lease_holder import BEAT_S
from tests.support.places import ROOT

NAME = "mine"
HERE = socket.gethostname()
DAY_S = 86_400.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(leases, "BEAT_S", BEAT_S)
    monkeypatch.setattr(leases, "_GLANCE_S", 60.0)  # whoever lives is waited for, however busy the machine is
    found = Home(tmp_path)
    StudyTables.create(open_storage(found), NAME, [StudyDirection.MAXIMIZE], {SCHEMA_KEY: SCHEMA})
    return found


@contextmanager
def controller(home: Home, host: str = HERE, offset_s: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the study."""
    command = [sys.executable, "-m", "tests.support.lease_holder", str(home.root), NAME, host, str(offset_s)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def glancing() -> Iterator[None]:
    """Within, whoever shows no sign of life is not waited for as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "_GLANCE_S", 5 * BEAT_S)
        yield


def freeze(process: subprocess.Popen[str], home: Home) -> None:
    """Stop the other process while it holds no lock of the database, which would keep everybody waiting."""
    while True:
        process.send_signal(signal.SIGSTOP)
        with closing(sqlite3.connect(home.database, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:  # it is in the middle of a heartbeat
                process.send_signal(signal.SIGCONT)
                time.sleep(BEAT_S / 10)
                continue
            connection.execute("ROLLBACK")
            return


def told_to_write(process: subprocess.Popen[str], word: str) -> str:
    """What the other process answers when it is told to write."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    return process.stdout.readline()


def word(home: Home) -> object:
    return StudyTables(open_storage(home), NAME).memory.get_study_user_attrs(0).get("word")


def test_a_second_controller_is_told_who_holds_the_study(home: Home) -> None:
    with lease(home.study(NAME)):
        found = holder(home.study(NAME))
        assert found is not None and found.pid == os.getpid()
        who = rf"'mine' is being run by process {os.getpid()} on {HERE} since 20"
        with pytest.raises(StudyLockedError, match=who) as refused, lease(home.study(NAME)):
            pass
        assert refused.value.next_command == "convscout stop mine"
    assert holder(home.study(NAME)) is None
    with lease(home.study(NAME)) as again:
        assert again.known.token == 2


def test_a_killed_holder_leaves_the_study_free_at_once(home: Home) -> None:
    with controller(home) as process:
        found = holder(home.study(NAME))
        assert found is not None and found.pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holder(home.study(NAME)) is None
        with lease(home.study(NAME)):
            mine = holder(home.study(NAME))
            assert mine is not None and mine.pid == os.getpid()


@pytest.mark.parametrize("offset_s", [-DAY_S, DAY_S])
def test_a_holder_elsewhere_is_believed_whatever_its_clock_says(home: Home, offset_s: float) -> None:
    """Row 23 of the faults: a lease is judged by signs of life, never by a date."""
    with controller(home, "elsewhere", offset_s) as process:
        for take_over in (False, True):
            with (
                pytest.raises(StudyLockedError, match=rf"process {process.pid} on elsewhere") as refused,
                lease(home.study(NAME), take_over=take_over, lapse_s=60),
            ):
                pass
            assert refused.value.next_command == "on elsewhere: convscout stop mine"
        assert told_to_write(process, "mine still") == "saved\n"
        found = holder(home.study(NAME))
        assert found is not None
        with pytest.raises(ConvscoutError, match="on elsewhere, type: convscout stop mine"):
            refuse_elsewhere(found, NAME)


@pytest.mark.slow
@pytest.mark.parametrize("host", ["elsewhere", HERE])
def test_a_frozen_holder_is_taken_over_and_can_write_nothing_when_it_wakes(home: Home, host: str) -> None:
    """Row 5 of the faults, for a controller elsewhere and one on this machine, whose file stays locked."""
    with controller(home, host) as process:
        assert told_to_write(process, "before") == "saved\n"
        freeze(process, home)
        with (
            glancing(),
            pytest.raises(StudyLockedError, match="has shown no sign of life for") as refused,
            lease(home.study(NAME)),
        ):
            pass
        assert refused.value.next_command == "convscout resume mine --take-over"
        messages: list[str] = []
        with lease(home.study(NAME), take_over=True, lapse_s=6 * BEAT_S, notify=messages.append) as fence:
            assert "taken over unless that stirs" in messages[0]
            tables = StudyTables(open_storage(home), NAME, fence)
            tables.memory.set_study_user_attr(0, "word", "after")
            tables.save()
            process.send_signal(signal.SIGCONT)
            said = told_to_write(process, "late")
            assert f"'mine' was taken over by process {os.getpid()} on {HERE}" in said
            assert process.wait() == 1
            assert word(home) == "after"
            with pytest.raises(StudyLockedError, match="is being run by"), lease(home.study(NAME)):
                pass
    assert holder(home.study(NAME)) is None


def test_of_two_that_claim_at_once_one_is_refused(home: Home) -> None:
    engine = open_storage(home)
    found = read_lease(engine, 1)
    one, other = (Fence(engine, NAME, 1, found) for _ in range(2))
    one.claim(_holder(home, "a"), "")
    with pytest.raises(StudyLockedError, match="has just begun"):
        other.claim(_holder(home, "b"), "")
    one.write(lambda connection: None)


def test_a_file_of_the_same_name_on_another_machine_proves_nothing(home: Home) -> None:
    """Two machines may have the same name, and homes at the same place."""
    engine = open_storage(home)
    with lease(home.study(NAME)):
        pass
    Fence(engine, NAME, 1, read_lease(engine, 1)).claim(_holder(home, "written by nobody here"), "")
    with glancing(), pytest.raises(StudyLockedError, match="no sign of life"), lease(home.study(NAME)):
        pass


def test_a_study_is_not_run_without_its_files(home: Home) -> None:
    """Two homes may share a database; each has the files of its own studies."""
    with lease(home.study(NAME)):
        pass
    shutil.rmtree(home.study(NAME).directory)
    with (
        pytest.raises(UserError, match=rf"not under {home.root}, but under {HERE}:{home.root}"),
        lease(home.study(NAME)),
    ):
        pass


def test_nobody_writes_beside_the_holder(home: Home) -> None:
    tables = StudyTables(open_storage(home), NAME)
    with lease(home.study(NAME)):
        beside = StudyTables(open_storage(home), NAME)
        with pytest.raises(StudyLockedError, match="is being run by"):
            beside.save()
        with pytest.raises(LeaseLostError):
            tables.save()


@pytest.mark.parametrize("applied", [False, True])
def test_a_beat_whose_answer_was_lost_costs_nothing(
    home: Home, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_storage(home)
    with lease(home.study(NAME)) as fence:
        tables = StudyTables(engine, NAME, fence)
        with monkeypatch.context() as patched:
            commit = engine.dialect.do_commit

            def lose_answer(connection: object) -> None:
                if applied:
                    commit(connection)  # type: ignore[arg-type]
                raise OperationalError("COMMIT", None, Exception("gone"))

            patched.setattr(engine.dialect, "do_commit", lose_answer)
            fence.heartbeat()
            fence.heartbeat()
        tables.memory.set_study_user_attr(0, "word", "written")
        tables.save()
        fence.heartbeat()
    assert word(home) == "written"


def _holder(home: Home, mark: str) -> Holder:
    lock = home.study(NAME).directory / leases.LOCK_FILE
    return Holder(host=HERE, pid=os.getpid(), since=0.0, lock=str(lock), mark=mark)


def test_the_file_of_a_holder_is_on_disk_before_the_ledger_names_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 33: when the power fails, a lease whose file is lost would have to be watched until it lapses."""
    done: list[str] = []
    wait, claim = durable_files.flush, Fence.claim

    def flush(path: Path) -> None:
        wait(path)
        done.append(path.name)

    def note(fence: Fence, *given: Any) -> None:
        done.append("claimed")
        claim(fence, *given)

    monkeypatch.setattr("convscout.services.ledger.lease.flush", flush)
    monkeypatch.setattr(Fence, "claim", note)
    with lease(home.study(NAME)):
        assert done == [LOCK_FILE, NAME, "claimed"]
