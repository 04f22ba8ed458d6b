"""StudyTables: one study, read from memory and written to Optuna's tables in batches of one transaction.

Optuna's own storage asks the database anew for every trial and commits every parameter by itself: 56
transactions a trial. A study has one owner, which may believe what it holds in memory, and what belongs
together is written together: a crash leaves all of it or nothing.

The tables are those of Optuna's ``RDBStorage``, so its other tools can read them. Beside ``study.py`` and
``optuna_tables.py`` this is the only module that knows Optuna's private parts: how ``InMemoryStorage`` keeps trials.
"""

from __future__ import annotations

import copy
import datetime
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

from optuna.distributions import (
    BaseDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages import InMemoryStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine, Select, Table, delete, insert, select, update

from convscout.services.ledger.database import snapshot
from convscout.services.ledger.fencing import LEASE_KEY, Fence, Lease
from convscout.services.ledger.optuna_schema import (
    DIRECTIONS,
    PARAMS,
    STEPS,
    STUDIES,
    STUDY_SYSTEM,
    STUDY_USER,
    TRIAL_SYSTEM,
    TRIAL_USER,
    TRIALS,
    VALUES,
    study_row,
)
from convscout.services.samplers.distributions import contains
from convscout.services.samplers.observations import replaced
from convscout.services.system.gc_pause import pause_gc

_distribution = cache(json_to_distribution)  # there are few, in the rows of many trials
_value = models.TrialValueModel.stored_repr_to_value
_step_value = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value


class StudyMemory(InMemoryStorage):
    """Optuna's storage of one study, whose trials are identified by their numbers."""

    STUDY = 0

    def restore(self, trials: Iterable[FrozenTrial]) -> None:
        """Add ``trials`` as they are, where ``create_new_trial`` would copy each in depth."""
        study = self._studies[self.STUDY]
        for trial in trials:
            self._trial_id_to_study_id_and_number[trial.number] = (self.STUDY, trial.number)
            self._max_trial_id = trial.number
            study.trials.append(trial)
            study.param_distribution.update(trial.distributions)
            self._update_cache(trial.number, self.STUDY)

    def replace(self, trials: Iterable[FrozenTrial]) -> None:
        """Let ``trials``, in the order of their numbers, take the place of those that have these numbers, or be new."""
        known = self._studies[self.STUDY].trials
        for trial in trials:
            if trial.number < len(known):
                known[trial.number] = trial
            else:
                self.restore([trial])

    def reopen(self, number: int) -> None:
        """Let a trial that ended run again, as if it never had."""
        trial = copy.copy(self.get_trial(number))
        trial.state, trial.values, trial.datetime_complete = TrialState.RUNNING, None, None
        self._studies[self.STUDY].trials[number] = trial

    def change_params(self, number: int, params: Mapping[str, Any]) -> None:
        """Let ``params``, of the same names and distributions, be those of a trial that was not saved yet."""
        trial = copy.copy(self.get_trial(number))
        trial.params = {name: params[name] for name in trial.params}
        self._studies[self.STUDY].trials[number] = trial

    def redistribute(self, distributions: Mapping[str, BaseDistribution]) -> None:
        """Let ``distributions`` be those of the parameters they name, in each trial whose value they contain.

        Optuna's storages refuse a parameter whose choices changed; a study whose space did goes on, and what
        is known of values that are still possible goes on to inform its sampler.
        """
        study = self._studies[self.STUDY]
        study.param_distribution.update(distributions)
        for number, trial in enumerate(study.trials):
            changed = {
                name: distributions[name]
                for name, value in trial.params.items()
                if name in distributions
                and trial.distributions[name] != distributions[name]
                and contains(distributions[name], value)
            }
            if changed:
                study.trials[number] = copy.copy(trial)
                study.trials[number].distributions = trial.distributions | changed


@dataclass(frozen=True, kw_only=True)
class _Saved:
    """What the tables have of a trial, in copies, since Optuna changes what it handed out before."""

    row: int
    state: TrialState | None = None
    params: frozenset[str] = frozenset()
    steps: frozenset[int] = frozenset()
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    num_values: int = 0

    @classmethod
    def of(cls, row: int, trial: FrozenTrial) -> Self:
        return cls(
            row=row,
            state=trial.state,
            params=frozenset(trial.params),
            steps=frozenset(trial.intermediate_values),
            user_attrs=dict(trial.user_attrs),
            system_attrs=dict(trial.system_attrs),
            num_values=len(trial.values or ()),
        )


class StaleStudyError(Exception):
    """The study that was read is gone; another one may have its name."""


class StudyTables:
    """A study in ``memory``, and what of it was saved. Only the process that owns the study may save."""

    def __init__(self, engine: Engine, name: str, fence: Fence | None = None) -> None:
        """Load the study called ``name``, which must exist.

        ``fence`` is that of its holder; without one, the study is saved only while nobody holds it.
        """
        with pause_gc(), snapshot(engine) as connection:
            self._row = study_row(connection, name)
            self._user_attrs = _study_attributes(connection, STUDY_USER, self._row)
            self._system_attrs = _study_attributes(connection, STUDY_SYSTEM, self._row)
            directions = _directions(connection, self._row)
            trials = _load_trials(connection, self._row)
        lease = Lease.from_dict(self._system_attrs.pop(LEASE_KEY))  # which the fence writes
        self.fence = fence or Fence(engine, name, self._row, lease)
        self.memory = StudyMemory()
        self.memory.create_new_study(directions, name)
        for key, value in self._user_attrs.items():
            self.memory.set_study_user_attr(StudyMemory.STUDY, key, value)
        for key, value in self._system_attrs.items():
            self.memory.set_study_system_attr(StudyMemory.STUDY, key, value)
        self.memory.restore(trials.values())
        self._saved = {trial.number: _Saved.of(row, trial) for row, trial in trials.items()}
        self._trials = {trial.number: trial for trial in trials.values()}

    @classmethod
    def create(
        cls, engine: Engine, name: str, directions: Iterable[StudyDirection], facts: Mapping[str, Any]
    ) -> Self:
        """Begin a study that knows ``facts`` (JSON types) of itself, all or nothing.

        Raises SQLAlchemy's ``IntegrityError`` when the name is taken.
        """
        with engine.begin() as connection:
            connection.execute(insert(STUDIES).values(study_name=name))
            owner = {"study_id": study_row(connection, name)}
            wanted = [
                owner | {"objective": objective, "direction": direction}
                for objective, direction in enumerate(directions)
            ]
            _insert(connection, DIRECTIONS, wanted)
            _save_attributes(connection, STUDY_SYSTEM, owner, {}, {LEASE_KEY: Lease().to_dict()})
            _save_attributes(connection, STUDY_USER, owner, {}, facts)
        return cls(engine, name)

    def refresh(self) -> bool:
        """Take over what the study's holder has written since it was last looked at; returns whether that is anything.

        For a study that is read alone. Only the trials that changed are loaded: those that ran, those that ended or
        began since, so that a look at a large study takes milliseconds.
        """
        with pause_gc(), snapshot(self.fence.engine) as connection:
            if self._row != study_row(connection, self.fence.name):
                raise StaleStudyError(self.fence.name)
            system_attrs = _study_attributes(connection, STUDY_SYSTEM, self._row)
            lease = Lease.from_dict(system_attrs.pop(LEASE_KEY))
            if lease == self.fence.known:  # which every write moves on
                return False
            user_attrs = _study_attributes(connection, STUDY_USER, self._row)
            trials = _load_trials(connection, self._row, self._changed_rows(connection))
        self.fence = Fence(self.fence.engine, self.fence.name, self._row, lease)
        for key, value in user_attrs.items():
            if self._user_attrs.get(key) != value:
                self.memory.set_study_user_attr(StudyMemory.STUDY, key, value)
        self._user_attrs, self._system_attrs = user_attrs, system_attrs
        self.memory.replace(trials.values())
        self._saved |= {trial.number: _Saved.of(row, trial) for row, trial in trials.items()}
        self._trials = self._trials | {trial.number: trial for trial in trials.values()}
        return True

    def _changed_rows(self, connection: Connection) -> list[int]:
        """The rows of trials that may be others than they were; one that ended and ran again has a later end."""
        rows = connection.execute(
            select(TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.state, TRIALS.c.datetime_complete).where(
                TRIALS.c.study_id == self._row
            )
        )
        changed = []
        for row, number, state, ended in rows:
            known = self._trials.get(number)
            same = known and known.state is state and known.datetime_complete == _from_utc(ended)
            if not same or not state.is_finished():
                changed.append(int(row))
        return changed

    @property
    def saved(self) -> Mapping[int, FrozenTrial]:
        """The trials by number as the tables have them; later saves do not change what was returned.

        Raises ``LeaseLostError`` once another process may have changed them.
        """
        self.fence.check()
        return self._trials

    def save(self) -> None:
        """Write what changed since it was last saved, all or nothing, outlasting a database that is away.

        Raises ``LeaseLostError`` when another process has taken the study over, and ``LedgerAwayError``.
        """
        user_attrs = dict(self.memory.get_study_user_attrs(StudyMemory.STUDY))
        system_attrs = dict(self.memory.get_study_system_attrs(StudyMemory.STUDY))
        trials = self.memory.get_all_trials(StudyMemory.STUDY, deepcopy=False)

        def write(connection: Connection) -> dict[int, _Saved]:
            owner = {"study_id": self._row}
            _save_attributes(connection, STUDY_USER, owner, self._user_attrs, user_attrs)
            _save_attributes(connection, STUDY_SYSTEM, owner, self._system_attrs, system_attrs)
            return self._write_trials(connection, trials)

        self._saved |= self.fence.write(write)
        self._user_attrs, self._system_attrs = user_attrs, system_attrs
        self._trials = dict(enumerate(trials))

    def _write_trials(self, connection: Connection, trials: Sequence[FrozenTrial]) -> dict[int, _Saved]:
        """Write those ``trials`` that changed; returns what the tables then have of them."""
        saved = {}
        for number in replaced(self._trials.values(), trials):
            trial = trials[number]
            known = self._saved.get(number)
            if known is None:
                known = _Saved(row=_add_trial(connection, trial, self._row))
            _save_trial(connection, known, trial)
            saved[number] = _Saved.of(known.row, trial)
        return saved


def remove_study(engine: Engine, name: str) -> None:
    """Remove the study called ``name`` with all its trials, all or nothing."""
    with engine.begin() as connection:
        its = study_row(connection, name)
        trials = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == its)
        for table in (PARAMS, VALUES, STEPS, TRIAL_USER, TRIAL_SYSTEM):
            connection.execute(delete(table).where(table.c.trial_id.in_(trials)))
        for table in (TRIALS, DIRECTIONS, STUDY_USER, STUDY_SYSTEM, STUDIES):
            connection.execute(delete(table).where(table.c.study_id == its))


# reading


def _load_trials(
    connection: Connection, study: int, only: Sequence[int] | None = None
) -> dict[int, FrozenTrial]:
    """The trials of a study by their rows, in the order of their numbers; those of the rows ``only``, if given."""
    wanted = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study)
    if only is not None:
        wanted = wanted.where(TRIALS.c.trial_id.in_(only))
    rows = connection.execute(
        select(TRIALS).where(TRIALS.c.trial_id.in_(wanted)).order_by(TRIALS.c.number)
    ).all()
    params = _by_trial(connection, wanted, PARAMS, "param_name", "param_value", "distribution_json")
    values = _by_trial(connection, wanted, VALUES, "objective", "value", "value_type")
    steps = _by_trial(connection, wanted, STEPS, "step", "intermediate_value", "intermediate_value_type")
    user_attrs = _by_trial(connection, wanted, TRIAL_USER, "key", "value_json")
    system_attrs = _by_trial(connection, wanted, TRIAL_SYSTEM, "key", "value_json")
    trials = {}
    for row in rows:
        own = row.trial_id
        distributions = {name: _distribution(stored) for name, _, stored in params[own]}
        trials[int(own)] = FrozenTrial(
            number=row.number,
            trial_id=row.number,
            state=row.state,
            value=None,
            values=[_value(*stored) for _, *stored in sorted(values[own])] or None,
            datetime_start=_from_utc(row.datetime_start),
            datetime_complete=_from_utc(row.datetime_complete),
            params={name: distributions[name].to_external_repr(value) for name, value, _ in params[own]},
            distributions=distributions,
            user_attrs={key: json.loads(stored) for key, stored in user_attrs[own]},
            system_attrs={key: json.loads(stored) for key, stored in system_attrs[own]},
            intermediate_values={step: _step_value(*stored) for step, *stored in steps[own]},
        )
    return trials


def _by_trial(
    connection: Connection, trials: Select[tuple[int]], table: Table, *columns: str
) -> dict[int, list[Any]]:
    """The ``columns`` of the rows that each of ``trials`` has in ``table``, in the order they were written."""
    [key] = table.primary_key
    wanted = select(table.c.trial_id, *(table.c[name] for name in columns))
    found: dict[int, list[Any]] = defaultdict(list)
    for trial, *row in connection.execute(wanted.where(table.c.trial_id.in_(trials)).order_by(key)).all():
        found[trial].append(row)
    return found


def _directions(connection: Connection, study: int) -> list[StudyDirection]:
    """Whether each objective is made large or small, in their order."""
    of_study = select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == study)
    return list(connection.scalars(of_study.order_by(DIRECTIONS.c.objective)))


def _study_attributes(connection: Connection, table: Table, study: int) -> dict[str, Any]:
    rows = connection.execute(select(table).where(table.c.study_id == study))
    return {row.key: json.loads(row.value_json) for row in rows}


def _from_utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    """The tables have UTC, Optuna's trials local time, both without a zone."""
    return moment and moment.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)


# writing


def _add_trial(connection: Connection, trial: FrozenTrial, study: int) -> int:
    """Insert a row for ``trial``; returns its key."""
    inserted = connection.execute(
        insert(TRIALS).values(number=trial.number, study_id=study, **_state(trial))
    ).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def _save_trial(connection: Connection, known: _Saved, trial: FrozenTrial) -> None:
    """Write what ``trial`` has beyond what is ``known`` of it."""
    owner = {"trial_id": known.row}
    if known.state not in (None, trial.state):
        connection.execute(update(TRIALS).where(TRIALS.c.trial_id == known.row).values(**_state(trial)))
    params = [
        owner
        | {
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
        if name not in known.params
    ]
    _insert(connection, PARAMS, params)
    steps = []
    for step, value in trial.intermediate_values.items():
        if step not in known.steps:
            at_step, step_type = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
            row = {"step": step, "intermediate_value": at_step, "intermediate_value_type": step_type}
            steps.append(owner | row)
    _insert(connection, STEPS, steps)
    if len(trial.values or ()) < known.num_values:  # it was reopened
        connection.execute(delete(VALUES).where(VALUES.c.trial_id == known.row))
    values = []
    for objective, value in enumerate(trial.values or ()):
        if objective >= known.num_values:
            stored, value_type = models.TrialValueModel.value_to_stored_repr(value)
            values.append(owner | {"objective": objective, "value": stored, "value_type": value_type})
    _insert(connection, VALUES, values)
    _save_attributes(connection, TRIAL_USER, owner, known.user_attrs, trial.user_attrs)
    _save_attributes(connection, TRIAL_SYSTEM, owner, known.system_attrs, trial.system_attrs)


def _save_attributes(
    connection: Connection,
    table: Table,
    owner: Mapping[str, int],
    known: Mapping[str, Any],
    attributes: Mapping[str, Any],
) -> None:
    """Write those ``attributes`` of the ``owner``, a column and its value, that are not ``known``."""
    [(column, row)] = owner.items()
    new = []
    for key, value in attributes.items():
        if key not in known:
            new.append({column: row, "key": key, "value_json": json.dumps(value)})
        elif known[key] != value:
            its = (table.c[column] == row) & (table.c.key == key)
            connection.execute(update(table).where(its).values(value_json=json.dumps(value)))
    _insert(connection, table, new)


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _state(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "state": trial.state,
        "datetime_start": _to_utc(trial.datetime_start),
        "datetime_complete": _to_utc(trial.datetime_complete),
    }


def _to_utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    return moment and moment.astimezone(datetime.UTC).replace(tzinfo=None)
