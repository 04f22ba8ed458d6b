"""Row 27 of the faults: a ledger that an older or a newer convscout, or Optuna, wrote.

The older ones are stored as they were on disk (``ledgers/README.md``).
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from convscout.services.cli import main
from convscout.services.config.home import Home
from convscout.services.ledger import migrations
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.fencing import Lease, read_lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.migrations import SCHEMA
from convscout.services.ledger.optuna_schema import schemas
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.postgresql import postgresql

NAME = "first"
LEDGER = Path(__file__).parent / "ledgers" / "schema-1.sql"
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One with the ledger that a convscout of schema 1 left."""
    found = Home(tmp_path)
    alter(found, LEDGER.read_text(encoding="utf-8"))
    return found


def alter(home: Home, script: str) -> None:
    with closing(sqlite3.connect(home.database)) as connection:
        connection.executescript(script)


def rows(database: Path) -> list[str]:
    """All that a database holds."""
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def copies(home: Home) -> list[Path]:
    return sorted(home.root.glob("convscout.db.backup-*"))


def run(home: Home, *arguments: str) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as raised:
        main([*arguments, "--home", str(home.root)])
    assert isinstance(raised.value.code, int)
    return raised.value.code


def test_an_older_ledger_is_migrated_and_copied_before(home: Home) -> None:
    before = rows(home.database)
    ledger = Ledger.open(home.study(NAME))
    ends = [(record.state, record.reason_code) for record in ledger.trials()]
    assert ends == [(TrialState.COMPLETED, EndReason.UNKNOWN)] * 2
    best = ledger.trial(0).best
    assert best is not None and best.val_accuracy == 56 / 143 and best.eager_reason == ""
    assert schemas(open_storage(home)) == {NAME: SCHEMA}
    assert read_lease(open_storage(home), 1) == Lease()
    [copy] = copies(home)
    assert copy.name.startswith("convscout.db.backup-v1-20")
    assert rows(copy) == before
    ledger.set_note("written", "since")
    Ledger.open(home.study(NAME))
    assert copies(home) == [copy]


def test_a_migration_that_is_cut_short_left_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(home.database)
    step = migrations.STEPS[1]

    def cut_short(connection: Connection, study: int) -> None:
        step(connection, study)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(migrations, "STEPS", {1: cut_short})
        Ledger.open(home.study(NAME))
    assert rows(home.database) == before
    Ledger.open(home.study(NAME))
    assert schemas(open_storage(home)) == {NAME: SCHEMA}


def test_a_study_that_an_older_convscout_runs_is_left_to_it(home: Home, capsys: Captured) -> None:
    before = rows(home.database)
    lock = home.study(NAME).directory / "controller.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run(home, "show", NAME) == 2
        said = capsys.readouterr().err
        assert f"is being run by an older convscout (schema 1; this one writes {SCHEMA})" in said
        assert rows(home.database) == before and not copies(home)
    assert run(home, "trials", NAME) == 0


def test_a_newer_study_is_refused_and_left_alone(home: Home, capsys: Captured) -> None:
    newer = SCHEMA + 1
    alter(home, f"UPDATE study_user_attributes SET value_json = '{newer}' WHERE key = 'schema'")
    before = rows(home.database)
    assert run(home, "resume", NAME) == 2
    said = capsys.readouterr().err
    assert f"written by a newer convscout (schema {newer}; this one knows up to {SCHEMA})" in said
    assert "next: pip install --upgrade convscout" in said and "Traceback" not in said
    assert rows(home.database) == before and not copies(home)


def test_the_tables_of_an_older_optuna_are_migrated(home: Home) -> None:
    older = "v3.0.0.d"  # what Optuna 3.1 wrote lacks an index
    alter(home, f"DROP INDEX ix_trials_study_id; UPDATE alembic_version SET version_num = '{older}'")
    alter(home, "UPDATE version_info SET library_version = '3.1.1'")
    before = rows(home.database)
    assert len(Ledger.open(home.study(NAME)).trials()) == 2
    [copy] = copies(home)
    assert copy.name.startswith(f"convscout.db.backup-optuna-{older}-") and rows(copy) == before
    after = "\n".join(rows(home.database))
    assert "CREATE INDEX trials_study_id_key" in after
    assert "INSERT INTO \"alembic_version\" VALUES('v3.2.0.a')" in after


def test_the_tables_of_a_newer_optuna_are_refused(home: Home, capsys: Captured) -> None:
    alter(home, "UPDATE alembic_version SET version_num = 'v9.0.0.a'")
    alter(home, "UPDATE version_info SET library_version = '9.1.0'")
    before = rows(home.database)
    assert run(home, "studies") == 2
    said = capsys.readouterr().err
    assert "was written by optuna 9.1.0 (tables v9.0.0.a), but optuna 5" in said
    assert "next: pip install --upgrade optuna" in said and "Traceback" not in said
    assert rows(home.database) == before and not copies(home)


@pytest.fixture
def on_a_server(tmp_path: Path) -> Iterator[Home]:
    """A home whose ledger is in PostgreSQL, with a study of schema 1."""
    with postgresql() as server:
        found = Home(tmp_path, server.create_database("older"))
        found.remember_storage()
        engine = open_storage(found)
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO studies (study_name) VALUES ('first')"))
            connection.execute(text("INSERT INTO study_user_attributes VALUES (1, 1, 'schema', '1')"))
        yield found
        engine.dispose()


def test_a_copy_of_a_server_s_ledger_is_asked_for(on_a_server: Home, capsys: Captured) -> None:
    url = on_a_server.storage_url.replace("+psycopg", "")
    assert run(on_a_server, "studies") == 2
    said = capsys.readouterr().err
    assert f"pg_dump --file=convscout-v1.sql '{url}'" in said
    assert "next: convscout migrate --home" in said
    assert schemas(open_storage(on_a_server, confirmed=True)) == {NAME: SCHEMA}


def test_migrating_says_what_there_is(home: Home, tmp_path: Path, capsys: Captured) -> None:
    assert run(home, "migrate") == 0
    assert "has the present schema" in capsys.readouterr().out
    assert run(Home(tmp_path / "empty"), "migrate") == 0
    assert "there is no ledger under" in capsys.readouterr().out
