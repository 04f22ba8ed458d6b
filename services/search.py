"""The search: propose, reject or dispatch, record. It knows executors by their interface alone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import torch

from search_space.architecture import ArchitectureConfig
from search_space.complexity import Complexity, measure
from search_space.constraints import Limits
from search_space.errors import (
    ConvscoutError,
    DuplicateError,
    LimitExceededError,
    StaleAttemptError,
    UnbuildableError,
)
from search_space.latency import measure_latency
from search_space.recipe import TrainingRecipe
from search_space.space import Candidate, SearchSpace
from services.budget import Budget, FinishCost
from services.events import EpochEnded, Listener, Notice, TrialEnded, TrialEstimated, TrialStarted
from services.pace import Pace
from services.pruning import pruners
from services.sampling import samplers
from services.study import Ledger, Proposal, TrialRecord
from trials.config import Measurement, TrialConfig, TrialResult, TrialState
from trials.precision import DTYPES
from trials.run import Dispatch

MAX_LOSSES = 3
MAX_REJECTIONS = 100
MAX_TOO_SLOW = 20
FIRST_RUNG_SHARE = 4  # a trial is worth starting when a quarter of its epochs fit, but no fewer than two

OUT_OF_TIME = "the time is up"
TOO_SLOW = "would not finish its first epochs in the time left"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the search needs to know beside its ledger. ``num_test`` images are judged at the end."""

    space: SearchSpace
    limits: Limits
    budget: Budget
    fingerprint: str
    num_test: int
    device: str


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
        self._config = ledger.config  # which each reading would parse anew, and executors poll
        self._setting = setting
        self._listener = listener
        self._touch = touch
        self._interrupted = interrupted
        self._sampler = samplers.get(self._config.sampler)
        self._pruner = pruners.get(self._config.pruner)(setting.space.epochs)
        self._pace = Pace()
        self._running: dict[int, TrialRecord] = {}
        self._unfinished: deque[int] = deque()
        self._trained: Counter[Candidate] = Counter()
        self._completed: dict[Candidate, None] = {}  # in the order of their first completion
        self._proposed_all = False
        self._judged = 0

    def prepare(self) -> None:
        """Take up what an earlier run left: unfinished trials first, then the portfolio if the study is new."""
        self._unfinished.extend(record.number for record in self._ledger.unfinished())
        known = self._ledger.trials()
        self._judged = sum(record.state.judged for record in known)
        for record in known:
            self._learn_pace(record)
            self._count(record)
        if self._config.portfolio and not known:
            for candidate in _cheapest_first(self._setting.space):
                self._ledger.enqueue(self._setting.space.parameters(candidate))

    @property
    def has_work(self) -> bool:
        """Whether anything is left to train, so that no executor need start for nothing."""
        return bool(self._unfinished and not self.should_stop()) or self._room()

    # what executors ask

    @property
    def finished(self) -> bool:
        return self._proposed_all and not self._running and not self._unfinished

    def should_stop(self) -> bool:
        return self._interrupted() or self._training_left_s <= 0

    def next_dispatch(self) -> Dispatch | None:
        if self.should_stop():
            return None
        while self._unfinished:
            if dispatch := self._take_up(self._unfinished.popleft()):
                return dispatch
        if self._proposed_all:
            return None
        record = self._propose()
        if record is None:
            self._proposed_all = True
            return None
        return self._dispatch(record)

    def on_estimate(self, number: int, attempt: int, epoch_s: float) -> bool:
        record = self._running[number]
        if record.attempt != attempt:
            return False
        assert record.config is not None and record.complexity is not None
        self._pace.expect(record.complexity, epoch_s)
        self._listener(TrialEstimated(trial=record, epoch_s=epoch_s))
        if record.measurements or self._fits(epoch_s, record.config.recipe.epochs):
            return True
        self._finish(number, attempt, TrialState.STOPPED, TOO_SLOW)
        return False

    def on_epoch(self, number: int, attempt: int, measurement: Measurement) -> bool:
        before = self._running[number]
        try:
            pruned = self._ledger.report(number, attempt, measurement, self._pruner)
        except StaleAttemptError:
            return False
        record = self._running[number] = self._ledger.trial(number)
        assert record.complexity is not None
        previous = before.measurements[-1] if before.measurements else None
        self._pace.observe(record.complexity, previous, measurement)
        self._touch(number)
        self._listener(EpochEnded(trial=record, measurement=measurement))
        if pruned:
            self._finish(
                number,
                attempt,
                TrialState.STOPPED,
                f"{self._config.pruner} at epoch {measurement.epoch}",
            )
        return not pruned

    def on_end(self, result: TrialResult) -> None:
        reason = result.error or "trained all its epochs"
        self._finish(result.number, result.attempt, result.state, reason)

    def on_lost(self, number: int, attempt: int, reason: str) -> None:
        record = self._running.pop(number)
        if record.attempt != attempt:
            return
        self._listener(Notice(text=f"trial {number}: {reason}; it goes on from its last checkpoint"))
        self._ledger.lose(number)
        self._unfinished.append(number)

    def close(self) -> None:
        """After the executor: when time ended the search, end the trials it broke off."""
        if self._interrupted():
            return
        for number in [*self._running, *self._unfinished]:
            self._finish(number, self._ledger.trial(number).attempt, TrialState.STOPPED, OUT_OF_TIME)

    @property
    def affordable_members(self) -> int:
        """How large an ensemble can be finished in the time left, at most as large as the study wants."""
        return self._finish_cost.affordable_members(self._setting.budget.left_s, self._config.ensemble_size)

    # inside

    @property
    def _finish_cost(self) -> FinishCost:
        rate = self._pace.images_per_s
        return FinishCost(images=self._setting.num_test if rate else 0, images_per_s=rate or 1.0)

    @property
    def _training_left_s(self) -> float:
        """Seconds until the ensemble must be begun."""
        candidates = len(self._running) + self._judged
        members = min(self._config.ensemble_size, max(1, candidates))
        budget = self._setting.budget
        return budget.left_s - self._finish_cost.reserve_s(members, budget.time_s)

    def _take_up(self, number: int) -> Dispatch | None:
        record = self._ledger.adopt(number)
        if record.losses < MAX_LOSSES:
            return self._dispatch(record)
        self._finish(number, record.attempt, TrialState.FAILED, f"its worker died {record.losses} times")
        return None

    def _dispatch(self, record: TrialRecord) -> Dispatch:
        assert record.config is not None
        directory = self._ledger.directory(record.number)
        directory.claim(record.attempt)
        self._running[record.number] = record
        self._touch(record.number)
        expected_s = self._pace.epoch_s(record.complexity) if record.complexity else None
        self._listener(TrialStarted(trial=record, epoch_s=expected_s))
        return Dispatch(
            config=record.config,
            directory=str(directory.path),
            device=self._setting.device,
            reported=max((m.epoch for m in record.measurements), default=0),
            cache=str(self._ledger.home.cache / "calibration"),
            deterministic=self._config.deterministic,
        )

    def _propose(self) -> TrialRecord | None:
        """The next committed trial, or None when the budget has no room for another."""
        reasons: list[str] = []
        while self._room() and reasons.count(TOO_SLOW) < MAX_TOO_SLOW:
            self._queue_repeat()
            proposal = self._ledger.propose(self._setting.space, self._sampler)
            try:
                return self._commit(proposal)
            except LimitExceededError as error:
                reasons.append(error.message)
                self._ledger.reject(proposal.number, error.message, error.excess)
            except (DuplicateError, UnbuildableError) as error:
                reasons.append(error.message)
                self._ledger.reject(proposal.number, error.message)
            if len(reasons) == MAX_REJECTIONS:
                self._give_up(reasons[-1])
                return None
        return None

    def _give_up(self, reason: str) -> None:
        text = f"the last {MAX_REJECTIONS} candidates were all rejected, the last because {reason}"
        if not self._trained:
            raise ConvscoutError(f"{text}; raise the limit, or narrow the knobs under [space]")
        self._listener(Notice(text=f"{text}; no more are proposed"))

    def _queue_repeat(self) -> None:
        """After what waits already, the next is a configuration that is to be trained again by another seed."""
        repeats = self._config.repeats
        if repeats == 1:
            return
        due = (candidate for candidate in self._completed if self._trained[candidate] < repeats)
        if (repeat := next(due, None)) and not self._ledger.queued:
            self._ledger.enqueue(self._setting.space.parameters(repeat), again=True)

    def _room(self) -> bool:
        allowed = self._setting.budget.trials
        if self.should_stop():
            return False
        return allowed is None or self._trained.total() < allowed

    def _commit(self, proposal: Proposal) -> TrialRecord:
        architecture, recipe = proposal.candidate
        self._refuse_duplicate(proposal.candidate)
        complexity = _cost(proposal.candidate, self._setting.space)
        limits = self._setting.limits
        limits.check(complexity)
        if limits.max_latency is not None:
            device = torch.device(self._setting.device)
            limits.check(
                complexity, latency_s=measure_latency(architecture, self._setting.space.image, device)
            )
        config = TrialConfig(
            number=proposal.number,
            attempt=1,
            dataset=self._setting.fingerprint,
            architecture=architecture,
            recipe=recipe.with_epochs(self._fitting_epochs(complexity, recipe.epochs)),
            seed=self._config.seed * 1_000_003 + proposal.number,
        )
        record = self._ledger.commit(config, complexity)
        self._count(record)
        return record

    def _refuse_duplicate(self, candidate: Candidate) -> None:
        repeats = self._config.repeats
        if self._trained[_identity(*candidate)] >= repeats:
            times = "once" if repeats == 1 else f"{repeats} times"
            raise DuplicateError(f"this configuration was trained {times} already")

    def _fitting_epochs(self, complexity: Complexity, epochs: int) -> int:
        """As many of ``epochs`` as fit the time left, so that the learning rate is annealed when it ends."""
        epoch_s = self._pace.epoch_s(complexity)
        if epoch_s is None:
            return epochs
        if not self._fits(epoch_s, epochs):
            raise LimitExceededError(TOO_SLOW)
        return int(min(float(epochs), self._training_left_s / epoch_s))

    def _fits(self, epoch_s: float, epochs: int) -> bool:
        """Whether the first rung of a trial of ``epochs`` can be trained in the time left."""
        first_rung = min(epochs, max(2, epochs // FIRST_RUNG_SHARE))
        return self._training_left_s / epoch_s >= first_rung

    def _finish(self, number: int, attempt: int, state: TrialState, reason: str) -> None:
        directory = self._ledger.directory(number)
        directory.settle()
        try:
            record = self._ledger.finish(number, attempt, state, reason)
        except StaleAttemptError:
            return
        self._running.pop(number, None)
        self._note_completion(record)
        self._judged += record.state.judged
        directory.close()
        self._touch(number)
        self._listener(TrialEnded(trial=record))

    def _count(self, record: TrialRecord) -> None:
        if record.trained and record.config:
            self._trained[_identity(record.config.architecture, record.config.recipe)] += 1
        self._note_completion(record)

    def _note_completion(self, record: TrialRecord) -> None:
        if record.state is TrialState.COMPLETED and record.config:
            self._completed[_identity(record.config.architecture, record.config.recipe)] = None

    def _learn_pace(self, record: TrialRecord) -> None:
        previous = None
        for measurement in record.measurements:
            assert record.complexity is not None
            self._pace.observe(record.complexity, previous, measurement)
            previous = measurement


def _identity(architecture: ArchitectureConfig, recipe: TrainingRecipe) -> Candidate:
    """What makes two configurations the same: everything but the epochs, which depend on the time left."""
    return architecture, recipe.with_epochs(1)


def _cheapest_first(space: SearchSpace) -> list[Candidate]:
    """The portfolio by rising cost, so that the first results come soon; without what cannot be built.

    Cost is told by activations, as in ``Pace``.
    """
    costs: list[tuple[int, Candidate]] = []
    for candidate in space.portfolio():
        try:
            costs.append((_cost(candidate, space).activations, candidate))
        except UnbuildableError:
            continue
    return [candidate for _, candidate in sorted(costs, key=lambda pair: pair[0])]


def _cost(candidate: Candidate, space: SearchSpace) -> Complexity:
    architecture, recipe = candidate
    # "auto" is decided by its worker; of the formats it may choose, float32 takes the most memory
    return measure(architecture, recipe, space.image, dtype=DTYPES.get(recipe.precision, torch.float32))
