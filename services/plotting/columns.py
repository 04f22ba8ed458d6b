"""Columns: what trials can be compared by, each a number of a trial with its name and which way is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convscout.services.ledger.ranking import pareto_front
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.style import score_label
from convscout.trials.evaluation.qualities import Quality

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number of a trial, None where it has none.

    ``log`` says whether it is best shown on a logarithmic scale.
    """

    label: str
    of: Callable[[TrialRecord], float | None]
    maximize: bool = False
    log: bool = False


PARAMS = Column(
    label="parameters", of=lambda trial: trial.complexity.params if trial.complexity else None, log=True
)
TRAINING_TIME = Column(
    label="training time (s)",
    of=lambda trial: trial.measurements[-1].elapsed_s if trial.measurements else None,
    log=True,
)


def score_of(quality: Quality) -> Column:
    """What a trial's best epoch is worth."""
    return Column(label=score_label(quality), of=lambda trial: trial.score, maximize=quality.maximize)


def cost_of(objective: str) -> Column:
    """A cost that the study makes small, by its name."""
    return Column(label=objective, of=lambda trial: trial.costs.get(objective), log=True)


def front_of(points: Sequence[Point], x: Column, y: Column) -> list[Point]:
    """Those of ``points`` that none surpasses in ``x`` and ``y``, each once, from left to right."""
    across, up = (1 if column.maximize else -1 for column in (x, y))
    known = sorted(set(points))
    return [known[index] for index in pareto_front([(across * point[0], up * point[1]) for point in known])]
