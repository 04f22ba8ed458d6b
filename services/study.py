"""The study ledger over Optuna's storage: the only record of what was proposed, committed and judged.

Life of a trial here: ``propose`` (ask) → ``commit`` (from now on it survives a crash) or ``reject`` →
``report`` an epoch at a time → ``finish`` (idempotent). ``adopt`` takes an unfinished one up again
under the same number with the next attempt; a late word of an older attempt is ignored. Each of these is
one transaction (``study_tables.py``). A proposal that was not committed leaves no trace.
"""

from __future__ import annotations

import datetime
import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as OptunaState

from search_space.complexity import Complexity
from search_space.errors import StaleAttemptError, StudyExistsError, StudyNotFoundError, UnknownNameError
from search_space.space import Candidate, SearchSpace
from services.config import StudyConfig
from services.home import Home
from services.sampling import SamplerFactory
from services.study_tables import StudyTables
from trials.checkpoint import TrialDirectory
from trials.config import Measurement, TrialConfig, TrialState

SCHEMA = 1
_MEASUREMENT = "measurement:"
_OPTUNA_STATE = {
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.STOPPED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.REJECTED: OptunaState.FAIL,
}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What the ledger knows of one trial.

    ``config`` is None only for a proposal that was never committed. ``reason`` says why the trial
    ended as it did, in a few words. ``losses`` counts the workers that died on it. Times are aware.
    """

    number: int
    state: TrialState
    attempt: int
    losses: int
    config: TrialConfig | None
    complexity: Complexity | None
    measurements: tuple[Measurement, ...]
    reason: str
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None

    @property
    def best(self) -> Measurement | None:
        """The epoch with the highest validation accuracy (the first of equals), or None before any."""
        return max(self.measurements, key=lambda m: (m.val_accuracy, -m.epoch), default=None)

    @property
    def trained(self) -> bool:
        """Whether the trial counts against the budget: it was committed, whatever came of it."""
        return self.config is not None and self.state is not TrialState.REJECTED

    @property
    def family(self) -> str:
        """The architecture family, or "?" for a proposal that was never committed."""
        return self.config.architecture.name if self.config else "?"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for ``--json``."""
        best = self.best
        return {
            "number": self.number,
            "state": str(self.state),
            "attempt": self.attempt,
            "family": self.family,
            "reason": self.reason,
            "val_accuracy": best.val_accuracy if best else None,
            "best_epoch": best.epoch if best else None,
            "epochs": len(self.measurements),
            "complexity": self.complexity.to_dict() if self.complexity else None,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "settings": self.config.flat() if self.config else {},
            "measurements": [m.to_dict() for m in self.measurements],
        }


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A candidate that was asked for and not yet committed."""

    number: int
    candidate: Candidate


class Ledger:
    """One study as it was when it was opened, and what has since been written through this object.

    Every method leaves the storage consistent, whenever the process dies. Only the owner of the study writes,
    from one thread; others may read at the same time.
    """

    def __init__(self, home: Home, storage: optuna.storages.RDBStorage, name: str) -> None:
        self.home = home
        self.name = name
        self._tables = StudyTables(storage, name)
        self._memory = self._tables.memory
        self._study = optuna.load_study(study_name=name, storage=self._memory)
        self._records: dict[int, tuple[FrozenTrial, TrialRecord]] = {}
        self._tick: Callable[[], None] = lambda: None

    @classmethod
    def refuse_existing(cls, home: Home, name: str) -> None:
        """Raise ``StudyExistsError`` when the name is taken."""
        if name in cls.names(home):
            raise StudyExistsError(
                f"study {name!r} exists already under {home.root}; resume it, or choose another --study",
                next_command=f"convscout resume {name}",
            )

    @classmethod
    def create(cls, home: Home, config: StudyConfig, *, fingerprint: str) -> Ledger:
        """Begin a study on the data of that ``fingerprint``; raises ``StudyExistsError`` when the name is taken."""
        cls.refuse_existing(home, config.name)
        storage = open_storage(home)
        # one without the facts below was cut short here, and is made anew
        optuna.create_study(
            storage=storage, study_name=config.name, direction="maximize", load_if_exists=True
        )
        ledger = cls(home, storage, config.name)
        for key, value in (("config", config.to_dict()), ("fingerprint", fingerprint), ("schema", SCHEMA)):
            ledger._put(key, value)
        ledger._tables.save()
        return ledger

    @classmethod
    def require(cls, home: Home, name: str) -> None:
        """Raise ``StudyNotFoundError``, listing those there are, when there is no study called ``name``."""
        names = cls.names(home)
        if name not in names:
            known = ", ".join(names) or "none yet"
            raise StudyNotFoundError(f"no study {name!r} under {home.root}; studies there: {known}")

    @classmethod
    def open(cls, home: Home, name: str) -> Ledger:
        """The study called ``name``; raises ``StudyNotFoundError`` as ``require`` does."""
        cls.require(home, name)
        return cls(home, open_storage(home), name)

    @classmethod
    def names(cls, home: Home) -> list[str]:
        """All studies under ``home``, oldest first."""
        if not home.database.exists():
            return []
        summaries = optuna.get_all_study_summaries(open_storage(home), include_best_trial=False)
        return [summary.study_name for summary in summaries if "schema" in summary.user_attrs]

    def note(self, key: str) -> Any | None:
        """A study-level fact, or None."""
        return self._notes.get(key)

    def set_note(self, key: str, value: Any) -> None:
        """Keep a study-level fact (JSON types)."""
        self._put(key, value)
        self._tables.save()

    @property
    def config(self) -> StudyConfig:
        """What was asked of the study."""
        return StudyConfig.from_dict(self._notes["config"])

    @property
    def fingerprint(self) -> str:
        """Of the data that the study began with."""
        return str(self.note("fingerprint"))

    def set_trials(self, trials: int) -> None:
        """Change how many trials are trained in all. Raises ``ConfigError`` for a number that is not allowed."""
        self.set_note("config", replace(self.config, trials=trials).to_dict())

    @property
    def spent_s(self) -> float:
        """Seconds that earlier runs of the study took; a run that was killed counts up to its last word."""
        return float(sum(seen - started for started, seen in (self.note("runs") or [])))

    @contextmanager
    def clock(self, started_s: float) -> Iterator[None]:
        """Count the time from ``started_s`` (since 1970) to the end of the block as spent on this study."""
        runs = self.note("runs") or []

        def tick() -> None:
            self._put("runs", [*runs, (started_s, time.time())])

        self._tick = tick
        try:
            tick()
            self._tables.save()
            yield
        finally:
            tick()
            self._tables.save()

    def directory(self, number: int) -> TrialDirectory:
        """Where the files of a trial lie."""
        return TrialDirectory(self.home.trial(self.name, number))

    # proposing

    def enqueue(self, parameters: Mapping[str, object], *, again: bool = False) -> None:
        """Queue ``parameters`` as a proposal; those proposed before only if ``again``."""
        self._study.enqueue_trial(dict(parameters), skip_if_exists=not again)
        self._tables.save()

    @property
    def queued(self) -> bool:
        """Whether a queued proposal waits."""
        return bool(self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,)))

    def propose(self, space: SearchSpace, sampler: SamplerFactory) -> Proposal:
        """Ask for the next candidate.

        The sampler is seeded by the study's seed and the number of trials so far, so that an
        interrupted study proposes what an uninterrupted one would.
        """
        asked = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = sampler(self.config.seed * 100_003 + asked)
        trial = self._study.ask()
        try:
            return Proposal(number=trial.number, candidate=space.suggest(trial))
        except BaseException:
            self._study.tell(trial.number, state=OptunaState.FAIL)
            raise

    def commit(self, config: TrialConfig, complexity: Complexity) -> TrialRecord:
        """From here on the trial survives a crash."""
        self._set(config.number, "complexity", complexity.to_dict())
        self._set(config.number, "config", config.to_dict())
        self._tables.save()
        return self.trial(config.number)

    def reject(self, number: int, reason: str, excess: Mapping[str, float] | None = None) -> None:
        """End a proposal that is never trained.

        ``excess`` says by what share it exceeds each limit; the sampler learns from it where not to look.
        """
        if not excess:
            self._end(number, TrialState.REJECTED, reason)
            return
        trial = Trial(self._study, number)
        for limit, share in excess.items():
            trial.set_constraint(limit, share)
        # pruned, because Optuna's samplers take no notice of failed trials, whatever their constraints
        self._end(number, TrialState.REJECTED, reason, told=OptunaState.PRUNED)

    # training

    def report(self, number: int, attempt: int, measurement: Measurement, pruner: BasePruner) -> bool:
        """Record an epoch; returns whether the pruner wants the trial to stop, which after its last makes no sense.

        Raises ``StaleAttemptError`` for a word of an attempt that was replaced. An epoch that is
        already recorded is left as it is.
        """
        record = self._current(number, attempt)
        if any(known.epoch == measurement.epoch for known in record.measurements):
            return False
        self._set(number, f"{_MEASUREMENT}{measurement.epoch:04d}", measurement.to_dict())
        self._memory.set_trial_intermediate_value(number, measurement.epoch, measurement.val_accuracy)
        stop = pruner.prune(self._study, self._memory.get_trial(number))
        self._tables.save()
        return stop and record.config is not None and measurement.epoch < record.config.recipe.epochs

    def finish(self, number: int, attempt: int, state: TrialState, reason: str) -> TrialRecord:
        """Make a trial final. Repeating it changes nothing; an old attempt raises ``StaleAttemptError``."""
        self._current(number, attempt)
        self._end(number, state, reason)
        return self.trial(number)

    def adopt(self, number: int) -> TrialRecord:
        """Take an unfinished trial up again as the next attempt."""
        record = self.trial(number)
        assert record.config is not None and record.state is TrialState.RUNNING
        self._set(number, "config", record.config.next_attempt().to_dict())
        self._tables.save()
        return self.trial(number)

    def lose(self, number: int) -> None:
        """Count that a worker died on this trial."""
        self._set(number, "losses", self.trial(number).losses + 1)
        self._tables.save()

    def unfinished(self) -> list[TrialRecord]:
        """The trials that an earlier run of the study broke off."""
        running = self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,))
        return [self._record(trial) for trial in running]

    # reading: only what was saved, as MLflow must not be told what a crash could still undo

    def trial(self, number: int) -> TrialRecord:
        """One trial; raises ``UnknownNameError`` when there is none of that number."""
        saved = self._tables.saved
        if number not in saved:
            raise UnknownNameError(f"study {self.name!r} has no trial {number}; it has 0 to {len(saved) - 1}")
        return self._record(saved[number])

    def trials(self) -> list[TrialRecord]:
        """Every trial that was proposed, by number; waiting ones are left out."""
        saved = self._tables.saved.values()
        return [self._record(trial) for trial in saved if trial.state is not OptunaState.WAITING]

    @property
    def _notes(self) -> Mapping[str, Any]:
        return self._memory.get_study_user_attrs(self._memory.STUDY)

    def _put(self, key: str, value: Any) -> None:
        self._memory.set_study_user_attr(self._memory.STUDY, key, value)

    def _set(self, number: int, key: str, value: Any) -> None:
        self._memory.set_trial_user_attr(number, key, value)

    def _record(self, frozen: FrozenTrial) -> TrialRecord:
        """``frozen`` as a record, which is parsed once, as Optuna replaces a trial that changes."""
        known, record = self._records.get(frozen.number, (None, None))
        if known is not frozen or record is None:
            record = _parsed(frozen)
            self._records[frozen.number] = (frozen, record)
        return record

    def _current(self, number: int, attempt: int) -> TrialRecord:
        record = self._record(self._memory.get_trial(number))
        if record.attempt != attempt:
            raise StaleAttemptError(
                f"attempt {attempt} of trial {number} was replaced by attempt {record.attempt}"
            )
        return record

    def _end(self, number: int, state: TrialState, reason: str, *, told: OptunaState | None = None) -> None:
        record = self._record(self._memory.get_trial(number))
        if record.state is not TrialState.RUNNING:
            return
        # the reason first: once the state is told, Optuna accepts no more attributes
        self._set(number, "ended", {"state": str(state), "reason": reason})
        best = record.best
        value = best.val_accuracy if state is TrialState.COMPLETED and best else None
        self._study.tell(number, value, state=told or _OPTUNA_STATE[state], skip_if_finished=True)
        self._tick()
        self._tables.save()


def open_storage(home: Home) -> optuna.storages.RDBStorage:
    """The storage of ``home``; a writer waits up to a minute for another before it gives up."""
    home.root.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # what it has to say, a listener says
    with (home.root / ".ledger.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that make a fresh database at once break it
        return optuna.storages.RDBStorage(home.storage_url, engine_kwargs={"connect_args": {"timeout": 60}})


def _parsed(frozen: FrozenTrial) -> TrialRecord:
    attributes = frozen.user_attrs
    config = TrialConfig.from_dict(attributes["config"]) if "config" in attributes else None
    ended = attributes.get("ended", {}) if frozen.state.is_finished() else {}
    measurements = [
        Measurement.from_dict(attributes[key]) for key in sorted(attributes) if key.startswith(_MEASUREMENT)
    ]
    return TrialRecord(
        number=frozen.number,
        state=TrialState(ended.get("state", TrialState.RUNNING)),
        attempt=config.attempt if config else 0,
        losses=attributes.get("losses", 0),
        config=config,
        complexity=Complexity.from_dict(attributes["complexity"]) if "complexity" in attributes else None,
        measurements=tuple(measurements),
        reason=ended.get("reason", ""),
        started_at=_aware(frozen.datetime_start),
        finished_at=_aware(frozen.datetime_complete),
    )


def _aware(moment: datetime.datetime | None) -> datetime.datetime | None:
    return moment.astimezone() if moment else None  # Optuna stores local time without a zone
