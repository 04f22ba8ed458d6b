"""A study in memory and in Optuna's tables is the same, whatever interrupts the writing."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.study import StudyDirection, load_study
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import PoolProxiedConnection

from convscout.search_space.errors import LeaseLostError
from convscout.services.config.home import Home
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.optuna_schema import STUDY_USER, TRIALS
from convscout.services.ledger.tables import StudyMemory, StudyTables
from tests.support.postgresql import PostgresServer, postgresql

NAME = "tables"
BOTH = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgresql() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """A home whose ledger is in either database."""
    if request.param == "sqlite":
        return Home(tmp_path)
    server: PostgresServer = request.getfixturevalue("server")
    return Home(tmp_path, server.create_database(tmp_path.name))


@pytest.fixture
def storage(home: Home) -> Iterator[Engine]:
    engine = open_storage(home)
    create(engine, NAME)
    yield engine
    engine.dispose()


def create(engine: Engine, name: str) -> StudyTables:
    return StudyTables.create(engine, name, [StudyDirection.MAXIMIZE], {"schema": 0})


def add(tables: StudyTables, value: float | None = 0.5) -> int:
    """A trial of every kind of fact; still running where ``value`` is None."""
    memory = tables.memory
    number = memory.create_new_trial(StudyMemory.STUDY)
    for name, internal in (("zeta", 0.25), ("alpha", 3.0)):  # whose order must last
        memory.set_trial_param(number, name, internal, FloatDistribution(0.0, 10.0))
    memory.set_trial_user_attr(number, "config", {"nested": [1, "two", None]})
    memory.set_trial_system_attr(number, "rung", 1)
    for step, seen in enumerate((0.1, math.inf, -math.inf)):
        memory.set_trial_intermediate_value(number, step, seen)
    if value is not None:
        memory.set_trial_state_values(number, TrialState.COMPLETE, [value])
    return number


def trials(tables: StudyTables) -> list[FrozenTrial]:
    return tables.memory.get_all_trials(StudyMemory.STUDY, deepcopy=False)


def test_what_is_saved_is_loaded_as_it_was(storage: Engine) -> None:
    tables = StudyTables(storage, NAME)
    add(tables)
    add(tables, None)
    waiting = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": {"alpha": 1.0}})
    tables.memory.create_new_trial(StudyMemory.STUDY, waiting)
    tables.memory.set_study_user_attr(StudyMemory.STUDY, "config", {"name": NAME})
    tables.save()
    loaded = StudyTables(storage, NAME)
    assert trials(loaded) == trials(tables)
    assert [list(trial.params) for trial in trials(loaded)[:2]] == [["zeta", "alpha"]] * 2
    assert loaded.memory.get_study_user_attrs(StudyMemory.STUDY) == {"schema": 0, "config": {"name": NAME}}
    assert loaded.memory.get_best_trial(StudyMemory.STUDY).number == 0


def test_what_changes_later_is_saved_too(storage: Engine) -> None:
    tables = StudyTables(storage, NAME)
    number = add(tables, None)
    tables.save()
    study = load_study(storage=tables.memory, study_name=NAME)
    for _ in range(2):  # the second time there is nothing to do
        tables.save()
    tables.memory.set_trial_user_attr(number, "config", {"nested": "changed"})
    tables.memory.set_trial_intermediate_value(number, 3, 0.7)
    study.enqueue_trial({"alpha": 2.0})
    tables.save()
    study.ask().suggest_float("alpha", 0.0, 10.0)  # takes the one that waited, and changes it in place
    study.tell(number, 0.9)
    tables.save()
    assert trials(StudyTables(storage, NAME)) == trials(tables)
    assert trials(tables)[1].params == {"alpha": 2.0}


def test_trials_go_on_under_their_numbers_beside_another_study(storage: Engine) -> None:
    one, other = StudyTables(storage, NAME), create(storage, "other")
    for _ in range(3):
        add(one)
        add(other, None)
        one.save()
        other.save()
    reopened = StudyTables(storage, NAME)
    assert add(reopened) == 3
    reopened.save()
    assert [trial.number for trial in trials(StudyTables(storage, NAME))] == [0, 1, 2, 3]
    assert [trial.state for trial in trials(StudyTables(storage, "other"))] == [TrialState.RUNNING] * 3


def test_optuna_reads_the_same(home: Home, storage: Engine) -> None:
    tables = StudyTables(storage, NAME)
    add(tables)
    add(tables, None)
    tables.save()
    theirs = RDBStorage(home.storage_url)
    read = load_study(storage=theirs, study_name=NAME).get_trials()
    theirs.remove_session()
    theirs.engine.dispose()
    assert len(read) == 2
    for its, ours in zip(read, trials(tables), strict=True):
        its._trial_id = ours._trial_id  # the key of a row there, the number here
        assert its == ours


REFUSE = {
    "sqlite": [
        "CREATE TRIGGER refuse BEFORE INSERT ON trial_user_attributes BEGIN SELECT RAISE(ABORT, 'full'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE 'full'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER refuse BEFORE INSERT ON trial_user_attributes FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}


def test_a_save_that_fails_leaves_nothing_and_is_made_up_for(storage: Engine) -> None:
    tables = StudyTables(storage, NAME)
    add(tables)
    tables.save()
    add(tables)
    with storage.begin() as connection:
        for statement in REFUSE[storage.dialect.name]:
            connection.execute(text(statement))
    with pytest.raises(DBAPIError, match="full"):
        tables.save()
    assert len(trials(StudyTables(storage, NAME))) == 1
    with storage.begin() as connection:
        at = " ON trial_user_attributes" if storage.dialect.name == "postgresql" else ""
        connection.execute(text(f"DROP TRIGGER refuse{at}"))
    tables.save()
    assert trials(StudyTables(storage, NAME)) == trials(tables)


def test_a_save_is_one_transaction_that_grows_with_what_is_new(storage: Engine) -> None:
    tables = StudyTables(storage, NAME)
    for _ in range(50):
        add(tables)
    tables.save()
    seen = Counter[str]()
    event.listen(storage, "commit", lambda connection: seen.update(["commit"]))
    event.listen(storage, "before_cursor_execute", lambda *call: seen.update(["statement"]))
    add(tables)
    tables.save()
    assert seen["commit"] == 1
    assert seen["statement"] <= 7, "one for the lease, one for the trial, and one for each of its tables"


def test_a_name_is_taken_once_and_what_was_begun_is_whole(storage: Engine) -> None:
    with pytest.raises(IntegrityError):
        StudyTables.create(storage, NAME, BOTH, {"schema": 1})
    two = StudyTables.create(storage, "two", BOTH, {"schema": 1, "name": "zwölf – 十二 \x00"})
    assert two.memory.get_study_directions(StudyMemory.STUDY) == BOTH
    again = StudyTables(storage, "two").memory.get_study_user_attrs(StudyMemory.STUDY)
    assert again == {"schema": 1, "name": "zwölf – 十二 \x00"}
    with storage.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(STUDY_USER)) == 3, "of both studies"


def test_of_two_that_save_the_same_study_the_second_is_refused(storage: Engine) -> None:
    one, other = StudyTables(storage, NAME), StudyTables(storage, NAME)
    add(one)
    one.save()
    add(other, None)
    with pytest.raises(LeaseLostError, match="changed by another process"):
        other.save()
    with pytest.raises(LeaseLostError):
        assert other.saved, "what it believes may be old by now"
    add(one)
    one.save()
    assert trials(StudyTables(storage, NAME)) == trials(one)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_write_whose_answer_is_lost_is_made_once(
    storage: Engine, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 16 of the faults: the transaction was applied, or was not, and an error is returned."""
    tables = StudyTables(storage, NAME)
    add(tables)
    tables.save()
    commit, lost = storage.dialect.do_commit, []

    def lose_one_answer(connection: PoolProxiedConnection) -> None:
        if moment == "after" or lost:
            commit(connection)
        if not lost:
            lost.append(moment)
            raise connection_error(storage)

    monkeypatch.setattr(storage.dialect, "do_commit", lose_one_answer)
    add(tables)
    add(tables, None)
    tables.save()
    assert lost == [moment]
    tables.memory.set_trial_user_attr(2, "config", "changed")
    tables.save()  # under the keys of the rows that were written then
    assert trials(StudyTables(storage, NAME)) == trials(tables)
    with storage.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(TRIALS)) == 3


def connection_error(storage: Engine) -> Exception:
    """What the driver raises when the database is busy, or its server gone."""
    if storage.dialect.name == "sqlite":
        busy = sqlite3.OperationalError("database is locked")
        busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
        return busy
    import psycopg

    return psycopg.OperationalError("server closed the connection unexpectedly")
