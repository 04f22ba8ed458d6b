"""What a running study tells its listeners, e.g. the live table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.config import Measurement


@dataclass(frozen=True, kw_only=True)
class Loading:
    """Reading the data has come to ``done`` of ``total``."""

    description: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class SearchStarted:
    """Trials are about to be dispatched. ``deadline_s`` is what is left for the whole command, if bounded."""

    study: str
    data: str
    workers: int
    executor: str
    trials: int | None
    deadline_s: float | None
    finished: int  # trials that earlier runs of this study already ended


@dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """A trial was dispatched, for the first time or again.

    ``epoch_s`` is how many seconds its epochs should take, judged by those of others, or None.
    """

    trial: TrialRecord
    epoch_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrialEstimated:
    """A trial has taken its first steps, by which its epochs will take ``epoch_s`` seconds each."""

    trial: TrialRecord
    epoch_s: float


@dataclass(frozen=True, kw_only=True)
class EpochEnded:
    """A trial reported an epoch."""

    trial: TrialRecord
    measurement: Measurement


@dataclass(frozen=True, kw_only=True)
class TrialEnded:
    """A trial reached a final state."""

    trial: TrialRecord


@dataclass(frozen=True, kw_only=True)
class Spending:
    """How one budget stands, for a person; ``eta_s`` is when it will be used up, as far as one can tell."""

    name: str
    text: str
    eta_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class BudgetsSpent:
    """How the budgets beside time and trials stand now."""

    spendings: tuple[Spending, ...]


@dataclass(frozen=True, kw_only=True)
class PhaseStarted:
    """Something else than training begins; ``phase`` is a key of the names in ``wording``, or ``tracking``."""

    phase: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something a person should know: a lost worker, a tracking server that does not answer."""

    text: str


@dataclass(frozen=True, kw_only=True)
class PauseStarted(Notice):
    """The study pauses as soon as each running trial has ended its epoch."""

    text: str = "pausing: each running trial ends its epoch first"


Event: TypeAlias = (
    Loading
    | SearchStarted
    | TrialStarted
    | TrialEstimated
    | EpochEnded
    | TrialEnded
    | BudgetsSpent
    | PhaseStarted
    | Notice
)

Listener: TypeAlias = Callable[[Event], None]
"""Gets every event, in order, on the controller's thread; must return at once."""


def ignore(event: Event) -> None:
    """A listener that tells nobody."""
