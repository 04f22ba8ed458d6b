"""The database of the service: an audit log that is only added to, and sessions that have ended."""

from __future__ import annotations

import stat
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from convscout.search_space.errors import ConvscoutError
from convscout.services.control.store import LONGEST_TARGET, SCHEMA, ServiceStore


def add(store: ServiceStore, target: str = "/x") -> None:
    """A row about ``target``."""
    store.audit(actor="token", client="127.0.0.1", method="POST", route="other", target=target, status=200)


@pytest.fixture
def store(tmp_path: Path) -> ServiceStore:
    return ServiceStore(tmp_path / "service" / "service.db")


def test_rows_come_newest_first_and_stay(store: ServiceStore, tmp_path: Path) -> None:
    for number in range(3):
        add(store, f"/{number}")
    again = ServiceStore(tmp_path / "service" / "service.db")
    assert [row.target for row in again.audited(None, 10)] == ["/2", "/1", "/0"]
    assert [row.id for row in again.audited(3, 1)] == [2]
    add(store, "/" + "x" * 10_000)
    assert len(again.audited(None, 1)[0].target) == LONGEST_TARGET


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
def test_nothing_in_the_audit_log_is_changed(store: ServiceStore, change: str) -> None:
    add(store)
    with pytest.raises(SQLAlchemyError, match="only added to"), store.engine.begin() as connection:
        connection.execute(text(change))
    assert [row.actor for row in store.audited(None, 10)] == ["token"]


def test_many_threads_write_at_once(store: ServiceStore) -> None:
    threads = [threading.Thread(target=add, args=(store, f"/{number}")) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row.target for row in store.audited(None, 100)} == {f"/{number}" for number in range(20)}


def test_it_keeps_the_journal_that_is_safe_and_is_closed_to_others(
    store: ServiceStore, tmp_path: Path
) -> None:
    with store.engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "delete"
    path = tmp_path / "service" / "service.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_sessions_that_ended_are_remembered_for_as_long_as_they_could_be_used(
    store: ServiceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.revoke("a")
    store.revoke("a")
    assert store.is_revoked("a") and not store.is_revoked("b")
    assert ServiceStore(tmp_path / "service" / "service.db").is_revoked("a")
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 2 * 86_400)
    assert not ServiceStore(tmp_path / "service" / "service.db").is_revoked("a")


def test_an_answer_is_kept_for_a_day(
    store: ServiceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.remember("key", "asked", "answer")
    assert ServiceStore(tmp_path / "service" / "service.db").answered("key") == ("asked", "answer")
    assert store.answered("other") is None
    with pytest.raises(SQLAlchemyError):
        store.remember("key", "another", "answer")
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 86_401)
    assert store.answered("key") is None
    store.remember("key", "another", "answer")
    assert store.answered("key") == ("another", "answer")


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "service" / "service.db"
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ConvscoutError, match=r"service\.db cannot be opened: file is not a database"):
        ServiceStore(path)


def test_a_file_of_an_earlier_version_goes_on_and_one_of_a_newer_is_refused(
    store: ServiceStore, tmp_path: Path
) -> None:
    path = tmp_path / "service" / "service.db"
    add(store, "/kept")

    def write_version(number: int) -> None:
        with store.engine.begin() as connection:
            connection.exec_driver_sql(f"PRAGMA user_version = {number}")

    write_version(0)  # which files had before they named their schema
    again = ServiceStore(path)
    assert [row.target for row in again.audited(None, 10)] == ["/kept"]
    with again.engine.connect() as connection:
        assert connection.scalar(text("PRAGMA user_version")) == SCHEMA
    write_version(SCHEMA + 1)
    with pytest.raises(ConvscoutError, match="was written by a newer version of convscout"):
        ServiceStore(path)
