"""Observations: what a sampler wants to know of the trials so far, in columns, so that it need not walk them all."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, compress, count
from operator import is_not
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_COMPLETE, _STOPPED, _INFEASIBLE, _RUNNING, _IGNORED = range(5)


class Observations:
    """The trials of a study with one objective, as they were at the last ``update``; everything is by trial number.

    It is a cache: one that was updated often equals one that was updated once.
    """

    def __init__(self, direction: StudyDirection) -> None:
        self._sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
        self._trials: list[FrozenTrial] = []
        self._kinds, self._first, self._second = array("b"), array("d"), array("d")
        self._columns: dict[tuple[str, bool], _Column] = {}

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Take note of what changed. Each of ``trials`` but those that wait must have all its parameters."""
        known = len(self._trials)
        fresh = len(trials) - known
        self._kinds.extend([_IGNORED] * fresh)
        self._first.extend([0.0] * fresh)
        self._second.extend([0.0] * fresh)
        for number in replaced(self._trials, trials):
            trial, before = trials[number], self._trials[number] if number < known else None
            kind, first, second = _rank(trial, self._sign)
            self._kinds[number], self._first[number], self._second[number] = kind, first, second
            if before is None or before.state is TrialState.WAITING:
                self._add_parameters(trial)
        self._trials = list(trials)

    @property
    def num_finished(self) -> int:
        """How many trials can be learned from: completed, stopped and rejected for their cost."""
        return int(np.count_nonzero(np.array(self._kinds) <= _INFEASIBLE))

    def split(self, num_good: int) -> tuple[Mask, Mask]:
        """Which trials are good, and which of the others are bad: running ones, too, so that nobody follows them.

        Completed ones rank by their value, after them stopped ones by how far and how well they came, and last
        those over a limit by how much.
        """
        kinds = np.array(self._kinds)
        order = np.lexsort((np.array(self._second), np.array(self._first), kinds))
        good = np.zeros(len(kinds), bool)
        good[order[: min(num_good, self.num_finished)]] = True
        return good, (kinds <= _RUNNING) & ~good

    def values(self, name: str, distribution: BaseDistribution) -> Array:
        """What each trial had for the knob ``name``, or NaN: numbers, or indices of the choices of ``distribution``.

        NaN also where it had what ``distribution`` no longer allows.
        """
        found = np.full(len(self._trials), np.nan)
        column = self._columns.get((name, isinstance(distribution, CategoricalDistribution)))
        if column:
            found[np.array(column.trials, np.intp)] = column.encoded(distribution)
        return found

    def _add_parameters(self, trial: FrozenTrial) -> None:
        for name, value in trial.params.items():
            named = isinstance(trial.distributions[name], CategoricalDistribution)
            self._columns.setdefault((name, named), _Column(named)).add(trial.number, value)


class ObservedStudies:
    """The observations of each study, kept only to be fast: a fresh process begins without."""

    def __init__(self) -> None:
        self._known = WeakKeyDictionary[Study, Observations]()

    def of(self, study: Study) -> Observations:
        """What there is to know of ``study`` now."""
        observations = self._known.setdefault(study, Observations(study.direction))
        observations.update(study.get_trials(deepcopy=False))
        return observations


class _Column:
    """The values of one knob, a trial a row. Of names, their places among ``_names``."""

    def __init__(self, named: bool) -> None:
        self.trials, self._values = array("q"), array("d")
        self._names: dict[CategoricalChoiceType, int] | None = {} if named else None

    def add(self, trial: int, value: CategoricalChoiceType) -> None:
        if self._names is not None:
            value = self._names.setdefault(value, len(self._names))
        assert isinstance(value, int | float)
        self.trials.append(trial)
        self._values.append(value)

    def encoded(self, distribution: BaseDistribution) -> Array:
        """As ``distribution`` counts them; NaN for what it does not allow."""
        values = np.array(self._values)
        if isinstance(distribution, CategoricalDistribution):
            index = {choice: float(place) for place, choice in enumerate(distribution.choices)}
            return np.array([index.get(name, math.nan) for name in self._names or ()])[values.astype(np.intp)]
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        return np.where((distribution.low <= values) & (values <= distribution.high), values, np.nan)


def _rank(trial: FrozenTrial, sign: float) -> tuple[int, float, float]:
    """What decides whether a trial is better than others, smaller being better; ``sign`` turns values into losses."""
    if trial.state is TrialState.RUNNING:
        return _RUNNING, 0.0, 0.0
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        return _IGNORED, 0.0, 0.0
    if (excess := sum(max(share, 0.0) for share in trial.constraints.values())) > 0:
        return _INFEASIBLE, excess, 0.0
    if trial.state is TrialState.COMPLETE:
        assert trial.value is not None
        return _COMPLETE, sign * trial.value, 0.0
    if (step := trial.last_step) is None:
        return _STOPPED, 1.0, 0.0
    loss = sign * trial.intermediate_values[step]
    return _STOPPED, -float(step), math.inf if math.isnan(loss) else loss


def replaced(before: Collection[FrozenTrial], now: Collection[FrozenTrial]) -> Iterator[int]:
    """The numbers of those of ``now`` that are new, or others than ``before``. Ten thousand take a fraction of a ms.

    Optuna replaces what it changes, so a look at the objects tells.
    """
    return chain(compress(count(), map(is_not, before, now)), range(len(before), len(now)))
