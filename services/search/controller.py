"""The search: propose, reject or dispatch, record. It knows executors by their interface alone."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch

from convscout.search_space.errors import (
    ConvscoutError,
    DuplicateError,
    ExhaustedError,
    LimitExceededError,
    NoModelError,
    StaleAttemptError,
    UnbuildableError,
    UserError,
)
from convscout.services.config.changes import changed_fields, extend
from convscout.services.config.space_overrides import space_overrides
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.units import format_clock
from convscout.services.events.events import (
    BudgetsSpent,
    EpochEnded,
    Listener,
    Notice,
    PauseStarted,
    TrialEnded,
    TrialEstimated,
    TrialStarted,
)
from convscout.services.ledger.ledger import Ledger, Proposal
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plugins import pruners
from convscout.services.pruners.fair import Fair
from convscout.services.search.admission import NO_ROOM_LEFT, Admission, TooLargeError
from convscout.services.search.budget import FinishCost
from convscout.services.search.checkpoint_gc import CheckpointGC
from convscout.services.search.command_queue import (
    CHANGE,
    ENQUEUE,
    PAUSE,
    RETRY,
    STOP_TRIAL,
    Command,
    CommandQueue,
)
from convscout.services.search.crash_cleanup import sweep
from convscout.services.search.larger_limits import resume_with_larger_limits
from convscout.services.search.phases import Phases, next_contender
from convscout.services.search.proposals import Proposals
from convscout.services.search.setting import SearchSetting
from convscout.services.search.stopping_criteria import StoppingCriteria
from convscout.services.search.timetable import LEAST_TRIAL_S, Timetable, first_rung
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.compute.seeding import nth_seed
from convscout.trials.config import Measurement, TrialConfig, TrialPhase, TrialResult, TrialState
from convscout.trials.end_reason import EndReason
from convscout.trials.training.run import Dispatch

MAX_WORKER_FAILURES = 3
MAX_REJECTIONS = 100
MAX_TOO_LARGE = 3  # although each was scaled down


class NotScoutedError(ConvscoutError):
    """A candidate's turn came when scouts were no longer trained."""


_Refusal: TypeAlias = LimitExceededError | DuplicateError | UnbuildableError | NotScoutedError
_REFUSALS = (LimitExceededError, DuplicateError, UnbuildableError, NotScoutedError)


class Search:
    """The controller of one run of a study; executors call it from one thread.

    ``touch`` is told each trial number whose record changed, for the mirror in MLflow.
    ``interrupted`` says whether the person asked to stop.
    """

    def __init__(
        self,
        ledger: Ledger,
        setting: SearchSetting,
        *,
        listener: Listener,
        touch: Callable[[int], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._inbox = CommandQueue(ledger.ref)
        self._config = ledger.config  # which each reading would parse anew, and executors poll
        self._setting = setting
        self._criteria = StoppingCriteria(
            self._config, gpu_share=setting.gpu_share, images=setting.num_validation
        )
        self._checkpoints = CheckpointGC(ledger, self._config.disk, most_members=self._config.ensemble_size)
        self._listener = listener
        self._touch = touch
        self._interrupted = interrupted
        self._candidates = Proposals(ledger, self._config, setting.space, torch.device(setting.device))
        self._pruner = _pruner_of(self._config)
        self._runtime = setting.runtime
        self._timetable = Timetable(self._config, setting)
        self._phases = Phases(setting.plan)
        self._admission = Admission(
            self._candidates, self._timetable, self._runtime, self._criteria, listener
        )
        self._running: dict[int, TrialRecord] = {}
        self._ends: dict[int, float] = {}  # when those that run have been told to end, in seconds since 1970
        self._unfinished: deque[int] = deque()
        self._to_stop: set[int] = set()  # those that a person wants to stop
        self._resumed: set[int] = set()  # those that went on from a checkpoint and have not reported since
        self._proposed_all = False
        self._awaits_scouts = False  # of which one may become a contender
        self._exhausted = ""  # why the sampler has nothing left to propose
        self._told_no_room = False
        self._failed = 0
        self._revived = 0
        self._paused = False

    def prepare(self) -> None:
        """Take up what an earlier run left: unfinished trials first, then the portfolio of families not tried yet."""
        holder = self._ledger.holder
        self._inbox.discard(PAUSE, before_s=holder.since if holder else math.inf)
        sweep(self._ledger.ref.directory)
        self._ledger.adopt_space(self._setting.space)
        self._unfinished.extend(record.number for record in self._ledger.unfinished())
        known = self._ledger.trials()
        self._timetable.scored = sum(record.state.scored for record in known)
        self._failed = sum(record.state is TrialState.FAILED for record in known)
        for record in known:
            self._learn_pace(record)
            self._candidates.count(record)
            self._phases.count(record)
            self._criteria.count(record)
            self._close(record)
            if record.trained and record.state is not TrialState.RUNNING:
                self._checkpoints.ended(record)
        self._criteria.begin()
        if self._config.control:
            self._candidates.queue_control()
        self._candidates.queue_portfolio()
        if self._phases.scouting:
            self._listener(Notice(text=self._phases.plan.describe(self._setting.workers)))
        if self._timetable.left_s < LEAST_TRIAL_S and self._waits_for_first:
            end = f"the end alone takes about {format_clock(self._timetable.reserve_s)} here"
            self._listener(Notice(text=f"the time is too short: {end}; one network is trained briefly"))

    @property
    def has_work(self) -> bool:
        """Whether anything is left to train, so that no executor need start for nothing."""
        return bool(self._unfinished and not self.should_stop()) or self._room()

    # what executors ask

    @property
    def finished(self) -> bool:
        return self._proposed_all and not self._running and not self._unfinished

    def should_stop(self) -> bool:
        paused = self._paused and not self._running
        return bool(paused or self._interrupted() or self._time_is_up or self._criteria.used_up)

    @property
    def _time_is_up(self) -> bool:
        """Whether the ensemble must be begun now.

        Trials that run are waited for to the end that each was promised, and a little longer; where there is no model
        yet, the first is waited for, unless trials have failed already.
        """
        if self._has_time or (self._running and self._waits_for_first):
            return False
        return not self._running or self._now_s > max(self._ends.values()) + self._timetable.grace_s

    @property
    def _has_time(self) -> bool:
        """Whether another trial may begin: there is time, or no model yet and none on its way."""
        return self._timetable.left_s > 0 or (self._waits_for_first and not self._running)

    @property
    def _waits_for_first(self) -> bool:
        return not self._timetable.scored and not self._failed

    def next_dispatch(self) -> Dispatch | None:
        self._read_commands()
        if self.should_stop() or self._paused or not self._has_time:
            return None
        while self._unfinished:
            if dispatch := self._take_up(self._unfinished.popleft()):
                return dispatch
        if self._proposed_all:
            return None
        if revived := self._revive():
            return revived
        if record := self._propose():
            return self._dispatch(record)
        # what the running ones were promised and will not use may be enough for another, and each may be repeated
        repeated = self._exhausted and self._config.repeats > 1
        waiting = self._criteria.epochs_left < math.inf or repeated or self._awaits_scouts
        self._proposed_all = not (self._running and waiting)
        if self._proposed_all and self._exhausted:
            self._listener(Notice(text=self._exhausted))
        return None

    def on_estimate(self, number: int, attempt: int, epoch_s: float) -> bool:
        record = self._running[number]
        if record.attempt != attempt:
            return False
        assert record.config is not None and record.complexity is not None
        self._runtime.expect(record.complexity, epoch_s / self._timetable.epoch_share(record.images_share))
        self._listener(TrialEstimated(trial=record, epoch_s=epoch_s))
        # nothing is better than a network that is being trained until there is another one
        fits = self._timetable.fits(epoch_s, record.planned_epochs)
        if record.measurements or not self._timetable.scored or fits:
            return True
        self._finish(
            number, attempt, EndReason.FORECAST, "would not finish its first epochs in the time left"
        )
        return False

    def on_epoch(self, number: int, attempt: int, measurement: Measurement) -> bool:
        before = self._running[number]
        try:
            pruned = self._ledger.report(number, attempt, measurement, self._pruner)
            pruned = pruned and not before.reopened  # a revived one goes on to its end
        except StaleAttemptError:
            return False
        record = self._running[number] = self._ledger.trial(number)
        previous = before.measurements[-1] if before.measurements else None
        if number in self._resumed:  # the epoch before it may have been trained twice, at another pace
            self._resumed.discard(number)
        else:
            self._observe(record, previous, measurement)
        self._phases.count(record)
        self._criteria.count(record)
        self._touch(number)
        self._listener(EpochEnded(trial=record, measurement=measurement))
        self._tell_spending()
        if pruned:
            self._prune(record)
        self._read_commands()
        if number in self._to_stop and not pruned and measurement.epoch < record.epochs:
            self._finish(number, attempt, EndReason.BY_HAND, "stopped by hand")
            return False
        if self._paused and measurement.epoch < record.epochs:
            self._forget(number)  # unfinished in the ledger, for a resume to take up
            return False
        return not pruned

    def on_end(self, result: TrialResult) -> None:
        if result.code is None:
            raise ConvscoutError(
                f"trial {result.number} cannot go on: {result.error}",
                next_command=f"convscout resume {self._ledger.name}",
            )
        code, reason = result.code, result.error
        if code is EndReason.COMPLETED:
            code, reason = self._how_completed(result.number)
        self._finish(result.number, result.attempt, code, reason)

    def _how_completed(self, number: int) -> tuple[EndReason, str]:
        record = self._ledger.trial(number)
        last = record.measurements[-1] if record.measurements else None
        if last is None or not last.last or record.plan is None:
            return EndReason.COMPLETED, "trained all its epochs"
        trained = f"after {last.epoch - 1 + last.share:.3g} of {record.planned_epochs} epochs"
        return EndReason.SHORTENED, f"its schedule ended with the time, {trained}"

    def on_lost(self, number: int, attempt: int, reason: str) -> None:
        record = self._running[number]
        self._forget(number)
        if record.attempt != attempt:
            return
        self._listener(Notice(text=f"trial {number}: {reason}; it goes on from its last checkpoint"))
        self._ledger.count_worker_failure(number)
        self._unfinished.append(number)

    def close(self) -> None:
        """After the executor: when time ended the search, end the trials it broke off."""
        if self._interrupted() or self._paused:
            return
        code, reason = self._criteria.used_up or (EndReason.OUT_OF_TIME, "the time is up")
        for number in [*self._running, *self._unfinished]:
            self._finish(number, self._ledger.trial(number).attempt, code, reason)
        if used_up := self._criteria.used_up:
            self._listener(Notice(text=f"the search ends: {used_up[1]}"))

    @property
    def paused(self) -> bool:
        """Whether another command asked to pause."""
        return self._paused

    @property
    def finish_cost(self) -> FinishCost:
        """What follows the search will take, as far as the machine and the trials so far tell."""
        return self._timetable.finish_cost

    @property
    def affordable_members(self) -> int:
        """How large an ensemble can be finished in the time left, at most as large as the study wants."""
        return self._timetable.finish_cost.affordable_members(
            self._setting.budget.left_s, self._config.ensemble_size
        )

    @property
    def _now_s(self) -> float:
        return self._setting.budget.clock()

    # what other commands ask

    def _read_commands(self) -> None:
        for message in self._inbox.take():
            try:
                self._obey(message)
            except UserError as error:
                self._listener(Notice(text=error.message))

    def _obey(self, message: Command) -> None:
        if message.kind == CHANGE:
            self._change(extend(self._config, message.content))
        elif message.kind == ENQUEUE:
            self._ledger.enqueue(message.content, by_hand=True)
            self._proposed_all = False
        elif message.kind == RETRY:
            self._unfinished.append(self.reopen(message.content["number"]).number)
        elif message.kind == STOP_TRIAL:
            self._to_stop.add(message.content["number"])
        elif message.kind == PAUSE:
            self._paused = True
            self._listener(PauseStarted())

    def _change(self, config: StudyConfig) -> None:
        """Go on under ``config``, of which no more is new than may change while a search runs."""
        space = replace(
            self._setting.space,
            families=config.families,
            epochs=config.epochs or self._setting.space.epochs,
            overrides=space_overrides(config, self._setting.num_training),
        )
        self._candidates.change(config, space)  # first, as the sampler may not suit the space
        self._exhausted, self._told_no_room = "", False
        before, self._config = self._config, config
        self._ledger.extend(config)
        budget = self._setting.budget
        more_s = (config.time_s or 0.0) - (before.time_s or 0.0)
        self._setting = replace(
            self._setting,
            space=space,
            budget=replace(budget, trials=config.trials, time_s=budget.time_s + more_s),
        )
        self._timetable.change(config, self._setting)
        self._pruner = _pruner_of(config)
        self._criteria.grant(config)
        self._ledger.adopt_space(space)
        self._candidates.queue_portfolio()
        self._proposed_all = False
        changed = ", ".join(f"{name} = {value}" for name, value in changed_fields(before, config).items())
        self._listener(Notice(text=f"changed: {changed}"))

    def _take_up(self, number: int) -> Dispatch | None:
        record = self._ledger.adopt(number)
        if record.config and record.config.dataset != self._setting.fingerprint:
            self._finish(
                number, record.attempt, EndReason.DATA_CHANGED, "the images changed while it was unfinished"
            )
            return None
        if record.worker_failures >= MAX_WORKER_FAILURES:
            died = f"its worker died {record.worker_failures} times"
            self._finish(number, record.attempt, EndReason.WORKER_LOST, died)
            return None
        if self._ledger.stops(number, self._pruner) and not record.reopened:
            self._prune(record)  # it was broken off between its last word and its end
            return None
        return self._dispatch(record)

    def _prune(self, record: TrialRecord) -> None:
        reason = f"{self._config.pruner} at epoch {record.measurements[-1].epoch}"
        self._finish(record.number, record.attempt, EndReason.PRUNED, reason)

    def _dispatch(self, record: TrialRecord) -> Dispatch:
        assert record.config is not None
        directory = TrialDirectory(self._ledger.ref.trial(record.number))
        directory.claim(record.attempt)
        self._running[record.number] = record
        if record.measurements:
            self._resumed.add(record.number)
        self._phases.count(record)
        self._criteria.count(record)
        self._touch(record.number)
        time_s, now_s = self._timetable.trial_s, self._now_s
        sent_at = now_s
        if record.is_scout and self._timetable.longest_scout_s < time_s:
            time_s = self._timetable.longest_scout_s
            sent_at = 0.0  # its worker counts from when it has started
        self._ends[record.number] = now_s + time_s
        expected_s = self._runtime.epoch_s(record.complexity) if record.complexity else None
        if expected_s:
            expected_s *= self._timetable.epoch_share(record.images_share)
        self._listener(TrialStarted(trial=record, epoch_s=expected_s))
        return Dispatch(
            config=record.config,
            directory=str(directory.path),
            device=self._setting.device,
            reported=max((m.epoch for m in record.measurements), default=0),
            cache=str(self._ledger.home.cache / "calibration"),
            deterministic=self._config.deterministic,
            time_s=time_s,
            sent_at=sent_at,
        )

    def _propose(self) -> TrialRecord | None:
        """The next committed trial, or None when the budget has no room for another."""
        refused, excesses = list[EndReason](), list[Mapping[str, float]]()
        while self._room() and sum(code.did_not_fit for code in refused) < MAX_TOO_LARGE:
            if not self._phases.scouting and not self._promote():
                break
            try:
                proposal = self._candidates.propose()
            except ExhaustedError as error:
                self._exhausted = error.message
                break
            try:
                return self._commit(proposal)
            except _REFUSALS as error:
                excesses.append(error.excess if isinstance(error, LimitExceededError) else {})
                refused.append(self._refuse(proposal, error, excesses[-1]))
                if len(refused) == MAX_REJECTIONS:
                    self._give_up(error.message, excesses)
                    return None
        self._tell_no_room(refused)
        return None

    def _tell_no_room(self, refused: Sequence[EndReason]) -> None:
        """Say, once, that candidates did not fit, if any of those that were just ``refused`` did not."""
        codes = [code for code in refused if code.did_not_fit]
        if codes and not self._told_no_room:
            self._told_no_room = True
            self._listener(Notice(text=NO_ROOM_LEFT[codes[-1]]))

    def _refuse(
        self,
        proposal: Proposal,
        error: _Refusal,
        excess: Mapping[str, float],
    ) -> EndReason:
        """Reject ``proposal`` because of ``error``, and return the code of that."""
        code = _code_of(error)
        self._ledger.reject(proposal.number, code, error.message, excess)
        if code is EndReason.DUPLICATE:
            self._candidates.queue_neighbour(proposal)
        return code

    def _promote(self) -> bool:
        """Queue the contender that is next, if one is; returns whether anything more is to be proposed now.

        Once all scouts have grown the sampler proposes contenders.
        """
        self._awaits_scouts = False
        if self._phases.contenders_left <= 0:
            self._exhausted = f"all {self._phases.plan.contenders:g} contenders are trained"
            return bool(self._ledger.queued)
        if not self._phases.plan.fidelity:
            return True
        if self._ledger.contender_waits:  # behind others, or a run was killed before it came to it
            return True
        trials, grown = self._ledger.trials(), self._ledger.grown
        if scout := next_contender(trials, grown, self._setting.num_validation):
            if not grown:
                scouts = sum(record.is_scout for record in trials)
                self._listener(Notice(text=f"scouting is over: the best of {scouts} are trained in full now"))
            self._ledger.enqueue_contender(scout)
            return True
        self._awaits_scouts = any(record.is_scout for record in self._running.values())
        return not self._awaits_scouts

    def _revive(self) -> Dispatch | None:
        """Let the best stopped trial go on that is worth more than a new one now, if one is.

        No more of them than an ensemble has members, each once, and only where time or epochs are the budget:
        one of trials is spent when they are.
        """
        full, left = self._setting.space.epochs, self._criteria.epochs_left
        full_s, left_s = full * (self._runtime.median_epoch_s or 0.0), self._timetable.left_s
        bounded = math.isfinite(self._setting.budget.time_s) or left < math.inf
        if self.should_stop() or not bounded or self._revived == self._config.ensemble_size:
            return None
        if self._room() and left >= full and left_s >= full_s:
            return None
        for record in self._checkpoints.resumable:
            assert record.config is not None and record.complexity is not None
            missing = record.planned_epochs - len(record.measurements)
            fits = missing <= left and missing * (self._runtime.epoch_s(record.complexity) or 0.0) <= left_s
            if fits and not record.reopened and record.config.dataset == self._setting.fingerprint:
                self._revived += 1
                return self._take_up(self.reopen(record.number).number)
        return None

    def reopen(self, number: int) -> TrialRecord:
        """Let a trial that was stopped or failed go on when it is its turn; raises ``UserError`` for others."""
        ended = self._ledger.trial(number).state
        record = self._ledger.reopen(number)
        self._timetable.scored -= ended.scored
        self._failed -= ended is TrialState.FAILED
        self._checkpoints.reopened(number)
        return record

    def _give_up(self, reason: str, excesses: Sequence[Mapping[str, float]]) -> None:
        text = f"the last {MAX_REJECTIONS} candidates were all rejected, the last because {reason}"
        if not self._candidates.trained:
            raise NoModelError(
                f"{text}; resume the study with a larger limit, or delete it and begin again with a narrower [space]",
                next_command=resume_with_larger_limits(self._config, excesses)
                or f"convscout trials {self._ledger.name}",
            )
        self._listener(Notice(text=f"{text}; no more are proposed"))

    def _room(self) -> bool:
        allowed = self._setting.budget.trials
        if self.should_stop() or not self._has_time:
            return False
        if not self._waits_for_first and not self._timetable.fits(
            self._runtime.least_epoch_s, self._setting.space.epochs
        ):
            return False  # not even for the smallest network
        if self._running and self._criteria.epochs_left < first_rung(self._setting.space.epochs):
            # until those that run leave some of theirs; candidates would be refused at every look
            return False
        return allowed is None or self._candidates.trained < allowed

    def _commit(self, proposal: Proposal) -> TrialRecord:
        """Raises what ``Proposals.cost`` does, and ``TooLargeError`` when too little of a budget is left."""
        alone = not (self._timetable.scored or self._running)
        phase = self._phase_of(proposal)
        scout = phase is TrialPhase.SCOUT
        proposal = self._admission.fit(proposal, alone=alone, scout=scout)
        architecture, recipe = proposal.candidate
        complexity, costs = self._candidates.cost(proposal.candidate, scout=scout)
        epochs = self._admission.epochs(complexity, recipe.epochs, alone=alone, scout=scout)
        running = [record.complexity for record in self._running.values() if record.complexity]
        if not self._checkpoints.makes_room([complexity, *running]):
            raise TooLargeError(EndReason.NO_ROOM)
        config = TrialConfig(
            number=proposal.number,
            attempt=1,
            dataset=self._setting.fingerprint,
            architecture=architecture,
            recipe=recipe.with_epochs(epochs),
            seed=nth_seed(self._config.seed, proposal.number),
            objective=self._config.objective[0],
            phase=phase,
            images_share=self._setting.plan.scouts_share if scout else 1.0,
        )
        record = self._ledger.commit(config, complexity, costs)
        self._candidates.count(record)
        return record

    def _phase_of(self, proposal: Proposal) -> TrialPhase:
        """In which phase ``proposal`` is trained; raises ``NotScoutedError`` for one that comes too late."""
        if proposal.control:
            return TrialPhase.CONTROL
        if proposal.grown_from is not None or proposal.by_hand:
            return TrialPhase.CONTENDER
        if self._phases.scouting:
            return TrialPhase.SCOUT
        if self._phases.plan.fidelity and self._ledger.queued:  # by the contender that is next
            raise NotScoutedError("its turn came when the scouts' time was over")
        return TrialPhase.CONTENDER

    def _finish(self, number: int, attempt: int, code: EndReason, reason: str) -> None:
        directory = TrialDirectory(self._ledger.ref.trial(number))
        directory.settle()
        try:
            record = self._ledger.finish(number, attempt, code, reason)
        except StaleAttemptError:
            return
        self._forget(number)
        self._to_stop.discard(number)
        self._candidates.note_completion(record)
        self._timetable.scored += record.state.scored
        self._failed += record.state is TrialState.FAILED
        self._close(record)
        self._phases.count(record)
        self._criteria.count(record)
        self._checkpoints.ended(record)
        self._touch(number)
        self._listener(TrialEnded(trial=record))
        self._tell_spending()

    def _forget(self, number: int) -> None:
        """The trial does not run any more."""
        self._running.pop(number, None)
        self._ends.pop(number, None)

    def _close(self, record: TrialRecord) -> None:
        if record.trained and record.state is not TrialState.RUNNING:
            TrialDirectory(self._ledger.ref.trial(record.number)).close(
                resumable=record.state is TrialState.STOPPED and not record.is_scout
            )

    def _tell_spending(self) -> None:
        if spendings := (*self._criteria.spendings(), *self._checkpoints.spendings()):
            self._listener(BudgetsSpent(spendings=spendings))

    def _learn_pace(self, record: TrialRecord) -> None:
        previous = None
        for measurement in record.measurements:
            self._observe(record, previous, measurement)
            previous = measurement

    def _observe(self, record: TrialRecord, previous: Measurement | None, latest: Measurement) -> None:
        assert record.complexity is not None
        share = self._timetable.epoch_share(record.images_share)
        self._runtime.observe(record.complexity, previous, latest, share=share)


def _pruner_of(config: StudyConfig) -> Fair:
    """The pruner that a study asks for."""
    return Fair(pruners.get(config.pruner)(), by_family=config.fair == "family")


def _code_of(error: _Refusal) -> EndReason:
    """Why a candidate is rejected that raised ``error``."""
    match error:
        case TooLargeError():
            return error.code
        case DuplicateError():
            return EndReason.DUPLICATE
        case UnbuildableError():
            return EndReason.UNBUILDABLE
        case NotScoutedError():
            return EndReason.NOT_SCOUTED
    return EndReason.LIMIT_EXCEEDED
