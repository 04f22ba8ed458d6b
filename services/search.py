"""The search: propose, reject or dispatch, record. It knows executors by their interface alone."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import torch

from search_space.errors import (
    ConvscoutError,
    DuplicateError,
    ExhaustedError,
    LimitExceededError,
    NoModelError,
    StaleAttemptError,
    UnbuildableError,
    UserError,
)
from services.admission import TOO_LONG, TOO_SLOW, Admission
from services.allowance import Allowance
from services.budget import FinishCost
from services.candidates import Candidates
from services.config import StudyConfig
from services.events import (
    BudgetsSpent,
    EpochEnded,
    Listener,
    Notice,
    TrialEnded,
    TrialEstimated,
    TrialStarted,
)
from services.extension import changed_fields, extended
from services.fairness import Fair
from services.inbox import CHANGE, ENQUEUE, PAUSE, RETRY, STOP_TRIAL, Inbox, Message
from services.leftovers import sweep
from services.retention import Retention
from services.search_setting import Setting
from services.study import Ledger, Proposal
from services.timetable import LEAST_TRIAL_S, Timetable
from services.trial_record import TrialRecord
from services.units import format_clock
from trials.config import Measurement, TrialConfig, TrialResult, TrialState
from trials.run import Dispatch

MAX_LOSSES = 3
MAX_REJECTIONS = 100
MAX_TOO_LARGE = 3  # although each was scaled down

OUT_OF_TIME = "the time is up"
BY_HAND = "stopped by hand"
PAUSING = "pausing: each running trial ends its epoch first"
IN_TIME = "its schedule ended with the time"
ALL_EPOCHS = "trained all its epochs"
FORECAST = "would not finish its first epochs in the time left"
NO_ROOM = "its checkpoints would not fit into what is left of the disk budget"


class Search:
    """The controller of one run of a study; executors call it from one thread.

    ``touch`` is told each trial number whose record changed, for the mirror in MLflow.
    ``interrupted`` says whether the person asked to stop.
    """

    def __init__(
        self,
        ledger: Ledger,
        setting: Setting,
        *,
        listener: Listener,
        touch: Callable[[int], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._inbox = Inbox(ledger.home, ledger.name)
        self._config = ledger.config  # which each reading would parse anew, and executors poll
        self._setting = setting
        self._allowance = Allowance(self._config, gpu_share=setting.gpu_share, images=setting.num_validation)
        self._retention = Retention(ledger, self._config.disk, most_members=self._config.ensemble_size)
        self._listener = listener
        self._touch = touch
        self._interrupted = interrupted
        self._candidates = Candidates(ledger, self._config, setting.space, torch.device(setting.device))
        self._pruner = Fair.of(self._config)
        self._pace = setting.pace
        self._timetable = Timetable(self._config, setting)
        self._admission = Admission(self._candidates, self._timetable, self._pace, self._allowance, listener)
        self._running: dict[int, TrialRecord] = {}
        self._ends: dict[int, float] = {}  # when those that run have been told to end, in seconds since 1970
        self._unfinished: deque[int] = deque()
        self._to_stop: set[int] = set()  # those that a person wants to stop
        self._resumed: set[int] = set()  # those that went on from a checkpoint and have not reported since
        self._proposed_all = False
        self._exhausted = ""  # why the sampler has nothing left to propose
        self._failed = 0
        self._revived = 0
        self._paused = False

    def prepare(self) -> None:
        """Take up what an earlier run left: unfinished trials first, then the portfolio of families not tried yet."""
        holder = self._ledger.holder
        self._inbox.discard(PAUSE, before_s=holder.since if holder else math.inf)
        sweep(self._ledger.home.study(self._ledger.name))
        self._ledger.adopt_space(self._setting.space)
        self._unfinished.extend(record.number for record in self._ledger.unfinished())
        known = self._ledger.trials()
        self._timetable.judged = sum(record.state.judged for record in known)
        self._failed = sum(record.state is TrialState.FAILED for record in known)
        for record in known:
            self._learn_pace(record)
            self._candidates.count(record)
            self._allowance.count(record)
            self._close(record)
            if record.trained and record.state is not TrialState.RUNNING:
                self._retention.ended(record)
        self._allowance.begin()
        self._candidates.queue_portfolio()
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
        return bool(paused or self._interrupted() or self._time_is_up or self._allowance.used_up)

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
        return not self._timetable.judged and not self._failed

    def next_dispatch(self) -> Dispatch | None:
        self._read_inbox()
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
        self._proposed_all = not (self._running and (self._allowance.epochs_left < math.inf or repeated))
        if self._proposed_all and self._exhausted:
            self._listener(Notice(text=self._exhausted))
        return None

    def on_estimate(self, number: int, attempt: int, epoch_s: float) -> bool:
        record = self._running[number]
        if record.attempt != attempt:
            return False
        assert record.config is not None and record.complexity is not None
        self._pace.expect(record.complexity, epoch_s)
        self._listener(TrialEstimated(trial=record, epoch_s=epoch_s))
        # nothing is better than a network that is being trained until there is another one
        fits = self._timetable.fits(epoch_s, record.config.recipe.epochs)
        if record.measurements or not self._timetable.judged or fits:
            return True
        self._finish(number, attempt, TrialState.STOPPED, FORECAST)
        return False

    def on_epoch(self, number: int, attempt: int, measurement: Measurement) -> bool:
        before = self._running[number]
        try:
            pruned = self._ledger.report(number, attempt, measurement, self._pruner)
            pruned = pruned and not before.reopened  # a revived one goes on to its end
        except StaleAttemptError:
            return False
        record = self._running[number] = self._ledger.trial(number)
        assert record.complexity is not None
        previous = before.measurements[-1] if before.measurements else None
        if number in self._resumed:  # the epoch before it may have been trained twice, at another pace
            self._resumed.discard(number)
        else:
            self._pace.observe(record.complexity, previous, measurement)
        self._allowance.count(record)
        self._touch(number)
        self._listener(EpochEnded(trial=record, measurement=measurement))
        self._tell_spending()
        if pruned:
            self._prune(record)
        self._read_inbox()
        if number in self._to_stop and not pruned and measurement.epoch < record.epochs:
            self._finish(number, attempt, TrialState.STOPPED, BY_HAND)
            return False
        if self._paused and measurement.epoch < record.epochs:
            self._forget(number)  # unfinished in the ledger, for a resume to take up
            return False
        return not pruned

    def on_end(self, result: TrialResult) -> None:
        if result.state is TrialState.RUNNING:
            raise ConvscoutError(
                f"trial {result.number} cannot go on: {result.error}",
                next_command=f"convscout resume {self._ledger.name}",
            )
        reason = result.error or self._how_completed(result.number)
        self._finish(result.number, result.attempt, result.state, reason)

    def _how_completed(self, number: int) -> str:
        record = self._ledger.trial(number)
        last = record.measurements[-1] if record.measurements else None
        if last is None or not last.last or record.config is None:
            return ALL_EPOCHS
        return f"{IN_TIME}, after {last.epoch - 1 + last.share:.3g} of {record.config.recipe.epochs} epochs"

    def on_lost(self, number: int, attempt: int, reason: str) -> None:
        record = self._running[number]
        self._forget(number)
        if record.attempt != attempt:
            return
        self._listener(Notice(text=f"trial {number}: {reason}; it goes on from its last checkpoint"))
        self._ledger.lose(number)
        self._unfinished.append(number)

    def close(self) -> None:
        """After the executor: when time ended the search, end the trials it broke off."""
        if self._interrupted() or self._paused:
            return
        reason = self._allowance.used_up or OUT_OF_TIME
        for number in [*self._running, *self._unfinished]:
            self._finish(number, self._ledger.trial(number).attempt, TrialState.STOPPED, reason)
        if self._allowance.used_up:
            self._listener(Notice(text=f"the search ends: {self._allowance.used_up}"))

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

    def _read_inbox(self) -> None:
        for message in self._inbox.take():
            try:
                self._obey(message)
            except UserError as error:
                self._listener(Notice(text=error.message))

    def _obey(self, message: Message) -> None:
        if message.kind == CHANGE:
            self._change(extended(self._config, message.content))
        elif message.kind == ENQUEUE:
            self._ledger.enqueue(message.content, by_hand=True)
            self._proposed_all = False
        elif message.kind == RETRY:
            self._unfinished.append(self.reopen(message.content["number"]).number)
        elif message.kind == STOP_TRIAL:
            self._to_stop.add(message.content["number"])
        elif message.kind == PAUSE:
            self._paused = True
            self._listener(Notice(text=PAUSING))

    def _change(self, config: StudyConfig) -> None:
        """Go on under ``config``, of which no more is new than may change while a search runs."""
        space = replace(
            self._setting.space,
            families=config.families,
            epochs=config.epochs or self._setting.space.epochs,
            overrides=config.space,
        )
        self._candidates.change(config, space)  # first, as the sampler may not suit the space
        self._exhausted = ""
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
        self._pruner = Fair.of(config)
        self._allowance.grant(config)
        self._ledger.adopt_space(space)
        self._candidates.queue_portfolio()
        self._proposed_all = False
        changed = ", ".join(f"{name} = {value}" for name, value in changed_fields(before, config).items())
        self._listener(Notice(text=f"changed: {changed}"))

    def _take_up(self, number: int) -> Dispatch | None:
        record = self._ledger.adopt(number)
        if record.config and record.config.dataset != self._setting.fingerprint:
            self._finish(
                number, record.attempt, TrialState.FAILED, "the images changed while it was unfinished"
            )
            return None
        if record.losses >= MAX_LOSSES:
            self._finish(number, record.attempt, TrialState.FAILED, f"its worker died {record.losses} times")
            return None
        if self._ledger.stops(number, self._pruner) and not record.reopened:
            self._prune(record)  # it was broken off between its last word and its end
            return None
        return self._dispatch(record)

    def _prune(self, record: TrialRecord) -> None:
        reason = f"{self._config.pruner} at epoch {record.measurements[-1].epoch}"
        self._finish(record.number, record.attempt, TrialState.STOPPED, reason)

    def _dispatch(self, record: TrialRecord) -> Dispatch:
        assert record.config is not None
        directory = self._ledger.directory(record.number)
        directory.claim(record.attempt)
        self._running[record.number] = record
        if record.measurements:
            self._resumed.add(record.number)
        self._allowance.count(record)
        self._touch(record.number)
        time_s, now_s = self._timetable.trial_s, self._now_s
        self._ends[record.number] = now_s + time_s
        expected_s = self._pace.epoch_s(record.complexity) if record.complexity else None
        self._listener(TrialStarted(trial=record, epoch_s=expected_s))
        return Dispatch(
            config=record.config,
            directory=str(directory.path),
            device=self._setting.device,
            reported=max((m.epoch for m in record.measurements), default=0),
            cache=str(self._ledger.home.cache / "calibration"),
            deterministic=self._config.deterministic,
            time_s=time_s,
            sent_at=now_s,
        )

    def _propose(self) -> TrialRecord | None:
        """The next committed trial, or None when the budget has no room for another."""
        reasons: list[str] = []
        while self._room() and sum(map(reasons.count, (TOO_SLOW, TOO_LONG, NO_ROOM))) < MAX_TOO_LARGE:
            try:
                proposal = self._candidates.propose()
            except ExhaustedError as error:
                self._exhausted = error.message
                break
            try:
                return self._commit(proposal)
            except LimitExceededError as error:
                reasons.append(error.message)
                self._ledger.reject(proposal.number, error.message, error.excess)
            except (DuplicateError, UnbuildableError) as error:
                reasons.append(error.message)
                self._ledger.reject(proposal.number, error.message)
                if isinstance(error, DuplicateError):
                    self._candidates.queue_neighbour(proposal)
            if len(reasons) == MAX_REJECTIONS:
                self._give_up(reasons[-1])
                return None
        if NO_ROOM in reasons:
            self._listener(
                Notice(text="what checkpoints may take on disk is used up; no more trials are begun")
            )
        return None

    def _revive(self) -> Dispatch | None:
        """Let the best stopped trial go on that is worth more than a new one now, if one is.

        No more of them than an ensemble has members, each once, and only where time or epochs are the budget:
        one of trials is spent when they are.
        """
        full, left = self._setting.space.epochs, self._allowance.epochs_left
        full_s, left_s = full * (self._pace.median_epoch_s or 0.0), self._timetable.left_s
        bounded = math.isfinite(self._setting.budget.time_s) or left < math.inf
        if self.should_stop() or not bounded or self._revived == self._config.ensemble_size:
            return None
        if self._room() and left >= full and left_s >= full_s:
            return None
        for record in self._retention.resumable:
            assert record.config is not None and record.complexity is not None
            missing = record.config.recipe.epochs - len(record.measurements)
            fits = missing <= left and missing * (self._pace.epoch_s(record.complexity) or 0.0) <= left_s
            if fits and not record.reopened and record.config.dataset == self._setting.fingerprint:
                self._revived += 1
                return self._take_up(self.reopen(record.number).number)
        return None

    def reopen(self, number: int) -> TrialRecord:
        """Let a trial that was stopped or failed go on when it is its turn; raises ``UserError`` for others."""
        ended = self._ledger.trial(number).state
        record = self._ledger.reopen(number)
        self._timetable.judged -= ended.judged
        self._failed -= ended is TrialState.FAILED
        self._retention.reopened(number)
        return record

    def _give_up(self, reason: str) -> None:
        text = f"the last {MAX_REJECTIONS} candidates were all rejected, the last because {reason}"
        if not self._candidates.trained:
            raise NoModelError(
                f"{text}; raise the limit, or narrow the knobs under [space]",
                next_command=f"convscout trials {self._ledger.name}",
            )
        self._listener(Notice(text=f"{text}; no more are proposed"))

    def _room(self) -> bool:
        allowed = self._setting.budget.trials
        if self.should_stop() or not self._has_time:
            return False
        if not self._waits_for_first and not self._timetable.fits(
            self._pace.least_epoch_s, self._setting.space.epochs
        ):
            return False  # not even for the smallest network
        return allowed is None or self._candidates.trained < allowed

    def _commit(self, proposal: Proposal) -> TrialRecord:
        """Raises what ``Candidates.cost`` does, and ``LimitExceededError`` when too little of a budget is left."""
        alone = not (self._timetable.judged or self._running)
        proposal = self._admission.fit(proposal, alone=alone)
        architecture, recipe = proposal.candidate
        complexity, costs = self._candidates.cost(proposal.candidate)
        epochs = self._admission.epochs(complexity, recipe.epochs, alone=alone)
        running = [record.complexity for record in self._running.values() if record.complexity]
        if not self._retention.makes_room([complexity, *running]):
            raise LimitExceededError(NO_ROOM)
        config = TrialConfig(
            number=proposal.number,
            attempt=1,
            dataset=self._setting.fingerprint,
            architecture=architecture,
            recipe=recipe.with_epochs(epochs),
            seed=self._config.seed * 1_000_003 + proposal.number,
            objective=self._config.objective[0],
        )
        record = self._ledger.commit(config, complexity, costs)
        self._candidates.count(record)
        return record

    def _finish(self, number: int, attempt: int, state: TrialState, reason: str) -> None:
        directory = self._ledger.directory(number)
        directory.settle()
        try:
            record = self._ledger.finish(number, attempt, state, reason)
        except StaleAttemptError:
            return
        self._forget(number)
        self._to_stop.discard(number)
        self._candidates.note_completion(record)
        self._timetable.judged += record.state.judged
        self._failed += record.state is TrialState.FAILED
        self._close(record)
        self._allowance.count(record)
        self._retention.ended(record)
        self._touch(number)
        self._listener(TrialEnded(trial=record))
        self._tell_spending()

    def _forget(self, number: int) -> None:
        """The trial does not run any more."""
        self._running.pop(number, None)
        self._ends.pop(number, None)

    def _close(self, record: TrialRecord) -> None:
        if record.trained and record.state is not TrialState.RUNNING:
            self._ledger.directory(record.number).close(resumable=record.state is TrialState.STOPPED)

    def _tell_spending(self) -> None:
        if spendings := (*self._allowance.spendings(), *self._retention.spendings()):
            self._listener(BudgetsSpent(spendings=spendings))

    def _learn_pace(self, record: TrialRecord) -> None:
        previous = None
        for measurement in record.measurements:
            assert record.complexity is not None
            self._pace.observe(record.complexity, previous, measurement)
            previous = measurement
