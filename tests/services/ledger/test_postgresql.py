"""The ledger in a real PostgreSQL: restarted, stopped and cut off while it is written."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from convscout.search_space.errors import LeaseLostError, LedgerAwayError, UserError
from convscout.services.cli import main
from convscout.services.config.home import Home
from convscout.services.config.toml import to_toml
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.fencing import LEASE_KEY, Fence, read_lease
from convscout.services.ledger.lease import lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.optuna_schema import STUDY_SYSTEM
from convscout.services.ledger.tables import StudyMemory, StudyTables
from convscout.services.studies.deletion import delete, purge, restore
from convscout.services.tracking.relocation import settle
from tests.support.postgresql import PostgresServer, postgresql
from tests.support.soaking import repetitions
from tests.support.studies import bundle_alone, essences, tiny_config
from tests.support.tcp_proxy import proxy

NAME = "tiny"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgresql() as started:
        yield started


@pytest.fixture
def home(tmp_path: Path, server: PostgresServer) -> Iterator[Home]:
    found = Home(tmp_path, server.create_database(tmp_path.name))
    yield found
    open_storage(found).dispose()


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger.create(home, tiny_config(NAME), fingerprint="f" * 64)


def tables(home: Home, fence: Fence | None = None) -> StudyTables:
    return StudyTables(open_storage(home), NAME, fence)


def words(home: Home) -> list[int]:
    """The word of each trial, in order."""
    return [trial.user_attrs["word"] for trial in tables(home).saved.values()]


def add(to: StudyTables, word: int) -> None:
    number = to.memory.create_new_trial(StudyMemory.STUDY)
    to.memory.set_trial_user_attr(number, "word", word)
    to.save()


def test_restarts_in_the_middle_lose_and_repeat_nothing(
    home: Home, server: PostgresServer, ledger: Ledger
) -> None:
    """Row 12 of the faults: the server crashes and is started again while a controller writes."""
    done = threading.Event()

    def restart() -> None:
        for _ in range(3):
            time.sleep(0.3)
            server.stop("immediate")
            server.start()
        done.set()

    with lease(home.study(NAME)) as fence:
        written = tables(home, fence)
        other = threading.Thread(target=restart)
        other.start()
        count = 0
        while not done.is_set():
            add(written, count)
            count += 1
        other.join()
        add(written, count)
    assert words(home) == list(range(count + 1))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("down_s", repetitions([20], [20, 60]))
def test_a_server_that_is_down_for_a_while_is_waited_for(
    home: Home, server: PostgresServer, ledger: Ledger, down_s: float
) -> None:
    """Row 13 of the faults."""
    messages: list[str] = []
    with lease(home.study(NAME), notify=messages.append) as fence:
        written = tables(home, fence)
        add(written, 0)
        server.stop()
        starter = threading.Timer(down_s, server.start)
        starter.start()
        add(written, 1)
        starter.join()
        add(written, 2)
        assert words(home) == [0, 1, 2]
    assert len(messages) == 2
    assert "does not answer" in messages[0] and "answers again" in messages[1]


def test_a_server_that_stays_away_ends_the_writing_in_one_line(
    home: Home, server: PostgresServer, ledger: Ledger
) -> None:
    engine = open_storage(home)
    fence = Fence(engine, NAME, 1, read_lease(engine, 1), patience_s=1.0)
    written = tables(home, fence)
    server.stop()
    for _ in range(2):  # the second time at once
        with pytest.raises(LedgerAwayError, match="has not answered for 1 s") as away:
            add(written, 0)
        assert away.value.next_command == "convscout resume tiny"
    server.start()
    with pytest.raises(LedgerAwayError):
        written.save()  # what came of it is not known, so the ledger has to be read anew
    assert words(home) == []


def test_a_commit_whose_answer_is_cut_off_is_made_once(
    tmp_path: Path, home: Home, server: PostgresServer, ledger: Ledger
) -> None:
    """Row 16 of the faults, by a network that breaks after the server got the word."""
    with proxy(server.port) as between:
        through = Home(tmp_path, home.storage_url.replace(f":{server.port}/", f":{between.port}/"))
        written = tables(through)
        for word in range(3):
            between.loses = b"COMMIT"
            add(written, word)
        assert between.lost == 3
        assert words(home) == [0, 1, 2]
        open_storage(through).dispose()


@pytest.mark.slow
def test_who_freezes_within_a_transaction_does_not_lock_out_who_takes_over(
    home: Home, ledger: Ledger
) -> None:
    engine = open_storage(home)
    with lease(home.study(NAME)) as frozen, engine.connect() as connection:
        seen = read_lease(engine, 1)
        assert seen.holder is not None
        its = (STUDY_SYSTEM.c.study_id == 1) & (STUDY_SYSTEM.c.key == LEASE_KEY)
        connection.execute(update(STUDY_SYSTEM).where(its).values(value_json="half done"))
        another = replace(seen.holder, mark="another")
        Fence(engine, NAME, 1, seen).claim(another, seen.files)  # once the server has had enough
        connection.invalidate()
        with pytest.raises(LeaseLostError):
            tables(home, frozen).save()


def run(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as raised:
        main([str(argument) for argument in arguments])
    assert isinstance(raised.value.code, int)
    return raised.value.code


@pytest.mark.slow
@bundle_alone()
def test_a_study_is_written_by_the_home_that_it_belongs_to_alone(
    tmp_path: Path, server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 30 of the faults, where the ledger is no part of the copy: both homes see the one study there."""
    first = Home(tmp_path / "first", server.create_database(f"{tmp_path.name}-homes"))
    copy = replace(first, root=tmp_path / "copy")
    ref, there = first.study(NAME), copy.study(NAME)
    Ledger.create(first, tiny_config(NAME), fingerprint="f" * 64)
    first.remember_storage()
    settle(first, lambda text: None)
    with lease(ref):
        pass
    shutil.copytree(first.root, copy.root)
    refused = rf"study 'tiny' belongs to the home \S+:{first.root}, with which {copy.root} shares the ledger "
    for _ in range(2):  # while the copy passes for the original, and once it has an identity of its own
        with pytest.raises(UserError, match=refused) as error, lease(there):
            pass
        assert error.value.next_command == "convscout resume tiny --take-over"
        assert run("delete", NAME, "--home", copy.root) == 2
        assert str(first.root) in capsys.readouterr().err
        settle(copy, lambda text: None)
    delete(ref, undo_s=0)
    assert purge(copy) == [] and list(Ledger.deleted(first)) == [NAME]
    restore(ref)
    with lease(there, take_over=True):
        pass
    assert tables(copy).memory.get_study_user_attrs(0)["home"] == copy.id
    with pytest.raises(UserError, match=rf"belongs to the home \S+:{copy.root}"), lease(ref):
        pass
    open_storage(first).dispose()


def test_a_search_differs_in_nothing_but_where_its_ledger_is(
    tmp_path: Path, home: Home, server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(to_toml(tiny_config(NAME, trials=2)), encoding="utf-8")
    secret = home.storage_url.replace("postgres@", "postgres:pssst@")
    on_server, in_file = tmp_path / "server", tmp_path / "file"
    assert run("search", "--config", file, "--home", on_server, "--storage", secret) == 0
    assert run("search", "--config", file, "--home", in_file) == 0
    assert not (on_server / "convscout.db").exists()
    capsys.readouterr()
    assert run("show", NAME, "--home", on_server, "--json") == 0, "the home remembers its storage"
    assert json.loads(capsys.readouterr().out)["status"] == "finished"
    assert essences(on_server, NAME) == essences(in_file, NAME)
    assert run("show", NAME, "--home", on_server, "--storage", server.url("another")) == 2
    said = capsys.readouterr().err
    assert f"keeps its ledger in {home.storage_url}, but got {server.url('another')}" in said
    assert run("show", NAME, "--home", in_file, "--storage", secret) == 2
    assert f"keeps its ledger in {in_file / 'convscout.db'}" in capsys.readouterr().err
    held = [path for path in on_server.rglob("*") if path.is_file() and b"pssst" in path.read_bytes()]
    assert held == [], "a password was stored"
    open_storage(Home(on_server)).dispose()
    open_storage(Home(on_server, secret)).dispose()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://me:pssst@host/db", "must be postgresql"),
        ("postgresql://me:pssst@host:port/db", "must be postgresql"),
        ("postgresql://me:pssst@host", "must be postgresql"),
        ("postgresql://host/db?password=pssst&port=x y", "cannot be opened"),
        ("postgresql://me:pssst@127.0.0.1:1/db", "cannot be opened"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_its_password_kept_secret(
    tmp_path: Path,
    url: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("convscout.services.ledger.database.OPEN_S", 0.0)
    assert run("studies", "--home", tmp_path, "--storage", url) in (1, 2)
    said = capsys.readouterr()
    assert expected in said.err
    assert "pssst" not in said.err + said.out and "Traceback" not in said.err
    assert all(b"pssst" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_without_the_driver_a_person_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match="PostgreSQL needs psycopg, which is not installed") as refused:
        open_storage(Home(tmp_path, "postgresql+psycopg://nobody@127.0.0.1/never"))
    assert refused.value.next_command == "pip install 'convscout[postgresql]'"
