"""The study ledger over Optuna's storage: the only record of what was proposed, committed and judged.

Life of a trial here: ``propose`` (ask) → ``commit`` (from now on it survives a crash) or ``reject`` →
``report`` an epoch at a time → ``finish`` (idempotent). ``adopt`` takes an unfinished one up again
under the same number with the next attempt; a late word of an older attempt is ignored. Each of these is
one transaction (``study_tables.py``). A proposal that was not committed leaves no trace.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as OptunaState
from sqlalchemy.exc import IntegrityError, NoResultFound

from convscout.search_space.complexity import Complexity
from convscout.search_space.errors import (
    StaleAttemptError,
    StudyExistsError,
    StudyNotFoundError,
    StudyStateError,
    UnknownNameError,
)
from convscout.search_space.space import Candidate, SearchSpace
from convscout.services.config.home import Home
from convscout.services.config.names import refuse_new_study_name
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.fencing import Fence, Holder
from convscout.services.ledger.migrations import SCHEMA, require_current
from convscout.services.ledger.optuna_schema import SCHEMA_KEY, notes, schemas
from convscout.services.ledger.provenance import CODE_NOTE
from convscout.services.ledger.ranking import pareto_front
from convscout.services.ledger.tables import StaleStudyError, StudyTables
from convscout.services.ledger.trial_record import GROWN_FROM, TrialRecord, measurement_key
from convscout.services.pruners.base import Pruner
from convscout.services.pruners.curves import Curves
from convscout.services.samplers.base import SamplerFactory
from convscout.services.samplers.distributions import distributions_of
from convscout.services.samplers.observations import replaced
from convscout.services.system.gc_pause import pause_gc
from convscout.trials.checkpoints.kill_points import Write, durable
from convscout.trials.config import Measurement, TrialConfig, TrialState
from convscout.trials.end_reason import EndReason

_BY_HAND, _CONTROL = "by_hand", "control"
_PROPOSED = "proposed"  # the parameters of a trial that was scaled down, before that
DELETED_NOTE = "deleted"  # until when it can be restored, in seconds since 1970
_OPTUNA_STATE = {
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.STOPPED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.REJECTED: OptunaState.FAIL,
}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A candidate that was asked for and not yet committed; ``by_hand`` when it is just what a person asked for.

    A contender has the number of the scout that it has ``grown_from``; ``control`` says that it is the study's.
    """

    number: int
    candidate: Candidate
    by_hand: bool = False
    grown_from: int | None = None
    control: bool = False


class Ledger:
    """One study as it was when it was opened or refreshed, and what has since been written through this object.

    Every method leaves the storage consistent, whenever the process dies. Only the owner of the study writes,
    from one thread; others may read at the same time.
    """

    def __init__(self, ref: StudyRef, tables: StudyTables) -> None:
        self.ref = ref
        self.home = ref.home
        self.name = ref.name
        self._tables = tables
        self._memory = self._tables.memory
        self._study = optuna.load_study(study_name=ref.name, storage=self._memory)
        self._records: dict[int, tuple[FrozenTrial, TrialRecord]] = {}
        self._curves, self._drawn = Curves(), list[FrozenTrial]()
        self._tick: Callable[[], None] = lambda: None

    @classmethod
    def refuse_name(cls, ref: StudyRef, data: str) -> None:
        """Raise ``ConfigError`` where no new study can have the name, and ``StudyExistsError`` when it is taken.

        ``data`` is what the new one would be on. Names that differ in case alone would share a directory on macOS and
        Windows.
        """
        refuse_new_study_name(ref.name)
        wanted = ref.name.casefold()
        for name in cls.deleted(ref.home):
            if name.casefold() == wanted:
                raise StudyExistsError(
                    f"study {name!r} was deleted and can still be restored; choose another --study",
                    next_command=f"convscout restore {name}",
                )
        taken = next((name for name in cls.names(ref.home) if name.casefold() == wanted), None)
        if taken is None:
            return
        known = notes(open_storage(ref.home), "config").get(taken)
        if isinstance(known, dict) and known.get("data") != data:  # to resume it would not be what is wanted
            raise StudyExistsError(
                f"study {taken!r} exists already under {ref.home.root}, on other data ({known.get('data')}); "
                "choose another --study"
            )
        raise StudyExistsError(
            f"study {taken!r} exists already under {ref.home.root}; resume it, or choose another --study",
            next_command=f"convscout resume {taken}",
        )

    @classmethod
    def create(
        cls, home: Home, config: StudyConfig, *, fingerprint: str, code: Mapping[str, str] | None = None
    ) -> Ledger:
        """Begin a study on the data of that ``fingerprint``, trained by the ``code`` of ``provenance.py``.

        Raises as ``refuse_name`` does.
        """
        ref = home.study(config.name)
        cls.refuse_name(ref, config.data)
        facts = {"config": config.to_dict(), "fingerprint": fingerprint, SCHEMA_KEY: SCHEMA}
        facts |= {CODE_NOTE: dict(code)} if code else {}
        try:
            with durable(Write.CREATE):
                tables = StudyTables.create(
                    open_storage(home), config.name, config.objectives.directions, facts
                )
        except IntegrityError:  # another process was faster
            cls.refuse_name(ref, config.data)
            raise
        return cls(ref, tables)

    @classmethod
    def require(cls, ref: StudyRef) -> None:
        """Raise ``StudyNotFoundError``, listing those there are, when there is no study called ``name``."""
        names = cls.names(ref.home)
        if ref.name not in names:
            known = ", ".join(names) or "none yet"
            raise StudyNotFoundError(f"no study {ref.name!r} under {ref.home.root}; studies there: {known}")

    @classmethod
    def open(cls, ref: StudyRef, fence: Fence | None = None, *, even_deleted: bool = False) -> Ledger:
        """The study called ``name``, to be written through the ``fence`` of its lease.

        Without one it is for reading, and may be written while nobody holds it. Raises ``StudyNotFoundError`` as
        ``require`` does, unless ``even_deleted`` studies are meant, and ``UserError`` for a study of another schema.
        """
        if fence is None and not (even_deleted and ref.name in cls.deleted(ref.home)):
            cls.require(ref)
        engine = fence.engine if fence else open_storage(ref.home)
        require_current(engine, ref.name)
        return cls(ref, StudyTables(engine, ref.name, fence))

    @classmethod
    def names(cls, home: Home) -> list[str]:
        """All studies under ``home``, oldest first; deleted ones are left out."""
        if not home.has_ledger:
            return []
        engine = open_storage(home)
        gone = notes(engine, DELETED_NOTE)
        return [name for name in schemas(engine) if gone.get(name) is None]

    @classmethod
    def deleted(cls, home: Home) -> dict[str, float]:
        """The deleted studies that are not gone yet, and until when they can be restored, in seconds since 1970."""
        gone = notes(open_storage(home), DELETED_NOTE) if home.has_ledger else {}
        return {name: until_s for name, until_s in gone.items() if until_s is not None}

    def refresh(self) -> bool:
        """See what its holder has written since, of a study that is read alone; returns whether that is anything.

        Raises ``StudyNotFoundError`` when the study is gone.
        """
        try:
            return self._tables.refresh()
        except (StaleStudyError, NoResultFound):
            raise StudyNotFoundError(f"study {self.name!r} is gone from {self.home.root}") from None

    @property
    def holder(self) -> Holder | None:
        """The process that ran the study when it was last looked at, unless that is known to have ended."""
        return self._tables.fence.known.living_holder(self.home)

    @property
    def lost(self) -> bool:
        """Whether another process has taken the study over, so that nothing more may be written."""
        return self._tables.fence.lost

    def note(self, key: str) -> Any | None:
        """A study-level fact, or None."""
        return self._notes.get(key)

    def set_note(self, key: str, value: Any) -> None:
        """Keep a study-level fact (JSON types)."""
        self._put(key, value)
        self._save(Write.NOTE)

    @property
    def config(self) -> StudyConfig:
        """What was asked of the study."""
        return StudyConfig.from_dict(self._notes["config"])

    @property
    def fingerprint(self) -> str:
        """Of the data that the study began with."""
        return str(self.note("fingerprint"))

    def extend(self, config: StudyConfig) -> None:
        """Let ``config`` be what is asked of the study from now on."""
        self.set_note("config", config.to_dict())

    def adopt_space(self, space: SearchSpace) -> None:
        """Let trials of an earlier, narrower or wider space inform the sampler of ``space``."""
        self._memory.redistribute(distributions_of(space))

    def proposed_families(self) -> set[str]:
        """The families of all trials that were proposed, or wait to be."""
        trials = self._study.get_trials(deepcopy=False)
        waiting = (trial.system_attrs.get("fixed_params", {}) for trial in trials)
        return {
            params["family"]
            for params in (*waiting, *(trial.params for trial in trials))
            if "family" in params
        } | {record.family for record in self.trials()}

    @property
    def used(self) -> dict[str, int]:
        """How much of what the study was granted its trials have taken, by the name of the setting."""
        trained = [record for record in self.trials() if record.trained]
        return {
            "time_s": math.ceil(self.spent_s),
            "trials": len(trained),
            "epochs_total": sum(len(record.measurements) for record in trained),
        }

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
            self._save(Write.CLOCK)
            yield
        finally:
            tick()
            self._save(Write.CLOCK)

    # proposing

    def enqueue(
        self, parameters: Mapping[str, object], *, again: bool = False, by_hand: bool = False
    ) -> None:
        """Queue ``parameters`` as a proposal, perhaps ``by_hand``; those proposed before only if ``again``."""
        self._enqueue(parameters, {_BY_HAND: True} if by_hand else {}, again=again)

    def enqueue_contender(self, scout: TrialRecord) -> None:
        """Queue what became the trial ``scout``, in the size in which it was proposed, as a contender."""
        frozen = self._tables.saved[scout.number]
        parameters = frozen.user_attrs.get(_PROPOSED, frozen.params)
        self._enqueue(parameters, {GROWN_FROM: scout.number}, again=True)

    def enqueue_control(self, parameters: Mapping[str, object]) -> None:
        """Queue ``parameters`` as the study's control."""
        self._enqueue(parameters, {_CONTROL: True}, again=True)

    def _enqueue(self, parameters: Mapping[str, object], facts: Mapping[str, Any], *, again: bool) -> None:
        self._study.enqueue_trial(dict(parameters), user_attrs=dict(facts), skip_if_exists=not again)
        self._save(Write.ENQUEUE)

    @property
    def has_control(self) -> bool:
        """Whether the control was proposed, or waits to be."""
        return any(_CONTROL in trial.user_attrs for trial in self._study.get_trials(deepcopy=False))

    @property
    def contender_waits(self) -> bool:
        """Whether a contender that has grown from a scout is queued."""
        waiting = self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,))
        return any(GROWN_FROM in trial.user_attrs for trial in waiting)

    @property
    def grown(self) -> set[int]:
        """The scouts from which contenders have grown, or wait to."""
        trials = self._study.get_trials(deepcopy=False)
        return {trial.user_attrs[GROWN_FROM] for trial in trials if GROWN_FROM in trial.user_attrs}

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
        self._study.sampler = sampler(self._study, self._notes["config"]["seed"] * 100_003 + asked)
        trial = self._study.ask()
        try:
            facts = trial.user_attrs
            return Proposal(
                number=trial.number,
                candidate=space.suggest(trial),
                by_hand=_BY_HAND in facts,
                grown_from=facts.get(GROWN_FROM),
                control=_CONTROL in facts,
            )
        except BaseException:
            self._end(trial.number, EndReason.UNBUILDABLE, "it could not be made from what was sampled")
            raise

    def scale(self, proposal: Proposal, candidate: Candidate, space: SearchSpace) -> Proposal:
        """Let ``candidate``, which differs in sizes alone, take the place of what was proposed."""
        if candidate != proposal.candidate:
            self._set(proposal.number, _PROPOSED, space.parameters(proposal.candidate))
        self._memory.change_params(proposal.number, space.parameters(candidate))
        return replace(proposal, candidate=candidate)

    def commit(
        self, config: TrialConfig, complexity: Complexity, costs: Mapping[str, float] | None = None
    ) -> TrialRecord:
        """From here on the trial survives a crash. ``costs`` are those the study makes small, by objective."""
        self._set(config.number, "costs", dict(costs or {}))
        self._set(config.number, "complexity", complexity.to_dict())
        self._set(config.number, "config", config.to_dict())
        self._save(Write.COMMIT)
        return self.trial(config.number)

    def reject(
        self, number: int, code: EndReason, reason: str, excess: Mapping[str, float] | None = None
    ) -> None:
        """End a proposal that is never trained, for ``code`` and, in words, ``reason``.

        ``excess`` says by what share it exceeds each limit; the sampler learns from it where not to look.
        """
        if not excess:
            self._end(number, code, reason)
            return
        trial = Trial(self._study, number)
        for limit, share in excess.items():
            trial.set_constraint(limit, share)
        # pruned, because Optuna's samplers take no notice of failed trials, whatever their constraints
        self._end(number, code, reason, to_optuna=OptunaState.PRUNED)

    # training

    def report(self, number: int, attempt: int, measurement: Measurement, pruner: Pruner) -> bool:
        """Record an epoch; returns whether the pruner wants the trial to stop.

        Raises ``StaleAttemptError`` for a word of an attempt that was replaced. An epoch that is
        already recorded is left as it is.
        """
        record = self._current(number, attempt)
        if any(known.epoch == measurement.epoch for known in record.measurements):
            return False
        self._set(number, measurement_key(measurement.epoch), measurement.to_dict())
        value = record.quality.value(measurement)
        self._memory.set_trial_intermediate_value(number, measurement.epoch, value)
        stop = self.stops(number, pruner)
        self._save(Write.REPORT)
        return stop

    def stops(self, number: int, pruner: Pruner) -> bool:
        """Whether ``pruner`` wants the trial to stop after the epochs it reported, which after all makes no sense."""
        curves = self._current_curves()
        curve = curves.get(number)
        return (
            curve is not None
            and 0 < len(curve.values) < curve.epochs
            and pruner.stops(curve, curves.rivals(number))
        )

    def finish(self, number: int, attempt: int, code: EndReason, reason: str) -> TrialRecord:
        """Make a trial final, in the state that ``code`` leads to; ``reason`` tells a person why.

        Repeating it changes nothing; an old attempt raises ``StaleAttemptError``.
        """
        self._current(number, attempt)
        self._end(number, code, reason)
        return self.trial(number)

    def adopt(self, number: int) -> TrialRecord:
        """Take an unfinished trial up again as the next attempt."""
        record = self.trial(number)
        assert record.config is not None and record.state is TrialState.RUNNING
        self._set(number, "config", record.config.next_attempt().to_dict())
        self._save(Write.ADOPT)
        return self.trial(number)

    def reopen(self, number: int) -> TrialRecord:
        """Let a trial that was stopped or failed go on, as unfinished as any that a crash broke off.

        Raises ``UserError`` as ``check_reopenable`` does.
        """
        self.check_reopenable(number)
        return self.retrain(number)

    def retrain(self, number: int) -> TrialRecord:
        """As ``reopen``, for a trial that ended in any way, whose files were lost; what it reported stays."""
        record = self.trial(number)
        self._memory.reopen(number)
        self._set(number, "losses", 0)
        self._set(number, "reopened", record.reopened + 1)
        self._save(Write.REOPEN)
        return self.trial(number)

    def check_reopenable(self, number: int) -> None:
        """Raise ``StudyStateError`` for a trial that was neither stopped nor failed."""
        record = self.trial(number)
        if record.plan is None or record.state not in (TrialState.STOPPED, TrialState.FAILED):
            raise StudyStateError(
                f"trial {number} of study {self.name!r} is {record.state}; only a trial that was stopped or "
                f"failed can go on"
            )

    def count_worker_failure(self, number: int) -> None:
        """Count that a worker died on this trial."""
        self._set(number, "losses", self.trial(number).worker_failures + 1)
        self._save(Write.LOSE)

    def is_unfinished(self, number: int) -> bool:
        """Whether the trial was begun and never ended, so that a resume takes it up."""
        return self._tables.saved[number].state is OptunaState.RUNNING

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

    @property
    def numbers(self) -> list[int]:
        """Of every trial that was proposed, or waits to be."""
        return sorted(self._tables.saved)

    def trials(self) -> list[TrialRecord]:
        """Every trial that was proposed, by number; waiting ones are left out."""
        saved = self._tables.saved.values()
        with pause_gc():
            return [self._record(trial) for trial in saved if trial.state is not OptunaState.WAITING]

    def front(self) -> list[TrialRecord]:
        """The judged trials that no other one beats in every objective."""
        scored = [record for record in self.trials() if record.state.scored and record.best]
        points = [(record.utility, *(-cost for cost in record.costs.values())) for record in scored]
        return [scored[index] for index in pareto_front(points)]

    @property
    def _notes(self) -> Mapping[str, Any]:
        self._tables.fence.check()
        return self._memory.get_study_user_attrs(self._memory.STUDY)

    def _put(self, key: str, value: Any) -> None:
        self._memory.set_study_user_attr(self._memory.STUDY, key, value)

    def _save(self, write: Write) -> None:
        with durable(write):
            self._tables.save()

    def _set(self, number: int, key: str, value: Any) -> None:
        self._memory.set_trial_user_attr(number, key, value)

    def _record(self, frozen: FrozenTrial) -> TrialRecord:
        """``frozen`` as a record, which is parsed once, as Optuna replaces a trial that changes."""
        known, record = self._records.get(frozen.number, (None, None))
        if known is not frozen or record is None:
            record = TrialRecord.of(frozen)
            self._records[frozen.number] = (frozen, record)
        return record

    def _current_curves(self) -> Curves:
        """The curves of all trials; those that changed since they were last asked for are drawn anew."""
        trials = self._memory.get_all_trials(self._memory.STUDY, deepcopy=False)
        for number in replaced(self._drawn, trials):
            self._curves.set(number, self._record(trials[number]).curve)
        self._drawn = trials
        return self._curves

    def _current(self, number: int, attempt: int) -> TrialRecord:
        record = self._record(self._memory.get_trial(number))
        if record.attempt != attempt:
            raise StaleAttemptError(
                f"attempt {attempt} of trial {number} was replaced by attempt {record.attempt}"
            )
        return record

    def _end(
        self, number: int, code: EndReason, reason: str, *, to_optuna: OptunaState | None = None
    ) -> None:
        record, state = self._record(self._memory.get_trial(number)), TrialState.after(code)
        if record.state is not TrialState.RUNNING:
            return
        # the reason first: once the state is told, Optuna accepts no more attributes
        self._set(number, "ended", {"state": str(state), "code": str(code), "reason": reason})
        to_optuna = to_optuna or _OPTUNA_STATE[state]
        if record.costs and state.scored and record.best:
            to_optuna = OptunaState.COMPLETE  # to Optuna a stopped trial has no place on a front
        values = None
        if to_optuna is OptunaState.COMPLETE:
            assert record.score is not None
            values = [record.score, *record.costs.values()]
        self._study.tell(number, values, state=to_optuna, skip_if_finished=True)
        self._tick()
        self._save(Write.END)
