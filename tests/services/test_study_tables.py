"""A study in memory and in Optuna's tables is the same, whatever interrupts the writing."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import create_study, load_study
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from services.study_tables import StudyMemory, StudyTables

NAME = "tables"


@pytest.fixture
def storage(tmp_path: Path) -> RDBStorage:
    found = RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    create_study(storage=found, study_name=NAME, direction="maximize")
    return found


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


def test_what_is_saved_is_loaded_as_it_was(storage: RDBStorage) -> None:
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
    assert loaded.memory.get_study_user_attrs(StudyMemory.STUDY) == {"config": {"name": NAME}}
    assert loaded.memory.get_best_trial(StudyMemory.STUDY).number == 0


def test_what_changes_later_is_saved_too(storage: RDBStorage) -> None:
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


def test_trials_go_on_under_their_numbers_beside_another_study(storage: RDBStorage) -> None:
    create_study(storage=storage, study_name="other")
    one, other = StudyTables(storage, NAME), StudyTables(storage, "other")
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


def test_optuna_reads_the_same(storage: RDBStorage) -> None:
    tables = StudyTables(storage, NAME)
    add(tables)
    add(tables, None)
    tables.save()
    read = load_study(storage=storage, study_name=NAME).get_trials()
    assert len(read) == 2
    for its, ours in zip(read, trials(tables), strict=True):
        its._trial_id = ours._trial_id  # the key of a row there, the number here
        assert its == ours


def test_a_save_that_fails_leaves_nothing_and_is_made_up_for(storage: RDBStorage) -> None:
    tables = StudyTables(storage, NAME)
    add(tables)
    tables.save()
    add(tables)
    with storage.engine.begin() as connection:
        refuse = "CREATE TRIGGER refuse BEFORE INSERT ON trial_user_attributes BEGIN SELECT RAISE(ABORT, 'full'); END"
        connection.execute(text(refuse))
    with pytest.raises((IntegrityError, StorageInternalError), match="full"):
        tables.save()
    assert len(trials(StudyTables(storage, NAME))) == 1
    with storage.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER refuse"))
    tables.save()
    assert trials(StudyTables(storage, NAME)) == trials(tables)


def test_a_save_is_one_transaction_that_grows_with_what_is_new(storage: RDBStorage) -> None:
    tables = StudyTables(storage, NAME)
    for _ in range(50):
        add(tables)
    tables.save()
    seen = Counter[str]()
    event.listen(storage.engine, "commit", lambda connection: seen.update(["commit"]))
    event.listen(storage.engine, "before_cursor_execute", lambda *call: seen.update(["statement"]))
    add(tables)
    tables.save()
    assert seen["commit"] == 1
    assert seen["statement"] <= 6, "one for the trial, and one for each of its tables"
