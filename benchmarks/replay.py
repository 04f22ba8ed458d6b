"""Replay: a search over the tabulated configurations, an epoch at a time, without training.

The parts are the real ones: samplers, pruners and fairness of the services, Optuna's sampler and pruner, Ray's
scheduler. One trial trains at a time, so that all of them decide on the same grounds.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from benchmarks.tabulate import TABLE, tabulated_space, trained
from convscout.search_space.architecture import ImageSpec
from convscout.search_space.neighbours import unknown_neighbour
from convscout.search_space.space import Candidate, SearchSpace

MOST_REJECTIONS = 100  # in a row, as in ``services/search/controller.py``
IMAGE = ImageSpec(in_channels=3, image_size=16, num_classes=10, symmetries=("horizontal_flip",))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One configuration: its parameters and its validation accuracies by epoch, fewer where it diverged."""

    parameters: Mapping[str, Any]
    accuracies: tuple[float, ...]

    @property
    def key(self) -> str:
        """The same for the same parameters."""
        return key_of(self.parameters)


@dataclass(frozen=True)
class Table:
    """All configurations."""

    rows: tuple[Row, ...]

    @classmethod
    def read(cls, path: Path = TABLE) -> Table:
        """The table at ``path``, or as much of it as was trained so far."""
        unfinished = path.with_suffix(".jsonl")
        found = json.loads(path.read_text())["rows"] if path.exists() else list(trained(unfinished))
        return cls(
            tuple(
                Row(parameters=each["parameters"], accuracies=tuple(each.get("accuracies", ())))
                for each in found
            )
        )

    @cached_property
    def by_key(self) -> dict[str, Row]:
        """The rows by the key of their parameters."""
        return {row.key: row for row in self.rows}

    @cached_property
    def space(self) -> SearchSpace:
        """The part of the design space that is tabulated."""
        return tabulated_space(IMAGE)

    @property
    def epochs(self) -> int:
        """Of a full trial."""
        return self.space.epochs

    @cached_property
    def best(self) -> float:
        """The highest accuracy at any epoch of any configuration."""
        return max(max(row.accuracies) for row in self.rows if row.accuracies)


def key_of(parameters: Mapping[str, Any]) -> str:
    """The same for the same parameters, whatever their order."""
    return json.dumps(dict(parameters), sort_keys=True)


@dataclass(kw_only=True)
class ReplayedTrial:
    """A trial under way or stopped: the accuracies ``seen`` so far of its ``row``."""

    number: int
    row: Row
    asked: optuna.Trial
    seen: list[float] = field(default_factory=list)
    stopped: bool = False
    revived: bool = False

    @property
    def family(self) -> str:
        """Of its architecture."""
        return str(self.row.parameters["family"])

    @property
    def best(self) -> float:
        """Its best accuracy so far."""
        return max(self.seen, default=0.0)


class Stopper(Protocol):
    """A rule of early stopping, told every epoch of every trial."""

    def stops(self, trial: ReplayedTrial) -> bool:
        """Whether ``trial``, which has just seen another epoch that is not its last, should end."""


MakeSampler = Callable[[optuna.Study, int], BaseSampler]


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """What one search does.

    ``neighbours`` of what was trained before are tried in its place; with ``repeats`` it is trained again, which
    costs as much as before. ``revives`` picks a stopped trial to go on with
    instead of a new one, or None.
    """

    name: str
    sampler: Callable[[Table, int], MakeSampler]
    stopper: Callable[[Table], Stopper]
    portfolio: bool = False
    neighbours: bool = True
    repeats: bool = False
    revives: Callable[[Sequence[ReplayedTrial], Table, float], ReplayedTrial | None] | None = None


@dataclass
class Replay:
    """One search of ``strategy`` over ``table`` with randomness from ``seed``, for ``budget`` epochs."""

    table: Table
    strategy: Strategy
    seed: int
    budget: int

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(direction="maximize")
        self._make_sampler = self.strategy.sampler(self.table, self.seed)
        self._stopper = self.strategy.stopper(self.table)
        self._trials: list[ReplayedTrial] = []
        self._proposed: set[str] = set()
        self._spent = 0
        self._incumbents: list[float] = []  # best accuracy seen, by epochs spent

    def run(self) -> list[float]:
        """The best accuracy seen after each epoch that was spent; shorter than the budget if nothing is left."""
        if self.strategy.portfolio:
            for candidate in self.table.space.portfolio():
                self._study.enqueue_trial(self.table.space.parameters(candidate))
        while self._spent < self.budget:
            trial = self._revived() or self._proposal()
            if trial is None:
                break
            self._train(trial)
        return self._incumbents

    def _revived(self) -> ReplayedTrial | None:
        if self.strategy.revives is None:
            return None
        stopped = [trial for trial in self._trials if trial.stopped]
        trial = self.strategy.revives(stopped, self.table, self.budget - self._spent)
        if trial:
            trial.stopped, trial.revived = False, True
        return trial

    def _proposal(self) -> ReplayedTrial | None:
        for _ in range(MOST_REJECTIONS):
            asked_before = len(self._study.get_trials(deepcopy=False))
            self._study.sampler = self._make_sampler(self._study, self.seed * 100_003 + asked_before)
            asked = self._study.ask()
            self.table.space.suggest(asked)
            key = key_of(asked.params)
            row = self.table.by_key.get(key)
            if row is None or (key in self._proposed and not self.strategy.repeats):
                self._study.tell(asked, state=TrialState.FAIL)
                if self.strategy.neighbours:
                    self._queue_neighbour(asked)
                continue
            self._proposed.add(key)
            trial = ReplayedTrial(number=asked.number, row=row, asked=asked)
            self._trials.append(trial)
            return trial
        return None

    def _queue_neighbour(self, asked: optuna.Trial) -> None:
        """As ``Candidates.queue_neighbour``."""
        space, rng = self.table.space, random.Random(self.seed * 100_003 + asked.number)

        def is_proposed(candidate: Candidate) -> bool:
            return key_of(space.parameters(candidate)) in self._proposed

        known = space.suggest(optuna.trial.FixedTrial(asked.params))
        if found := unknown_neighbour(space, known, rng, is_proposed):
            self._study.enqueue_trial(space.parameters(found))

    def _train(self, trial: ReplayedTrial) -> None:
        for epoch in range(len(trial.seen) + 1, self.table.epochs + 1):
            if self._spent == self.budget:
                return
            self._spent += 1
            if epoch > len(trial.row.accuracies):  # it diverged
                self._incumbents.append(self._incumbents[-1] if self._incumbents else 0.0)
                self._tell(trial, TrialState.FAIL)
                return
            trial.seen.append(trial.row.accuracies[epoch - 1])
            best = self._incumbents[-1] if self._incumbents else 0.0
            self._incumbents.append(max(best, trial.seen[-1]))
            if not trial.revived:
                trial.asked.report(trial.seen[-1], epoch)
            if epoch < self.table.epochs and self._stopper.stops(trial) and not trial.revived:
                trial.stopped = True
                self._tell(trial, TrialState.PRUNED)
                return
        self._tell(trial, TrialState.COMPLETE)

    def _tell(self, trial: ReplayedTrial, state: TrialState) -> None:
        if trial.revived:
            return  # Optuna's studies take no second answer
        value = trial.best if state is TrialState.COMPLETE else None
        self._study.tell(trial.asked, value, state=state)
