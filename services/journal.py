"""Journal: the events of a study as lines of a file, so that whoever shows it need not be the process that runs it.

The process that runs a study appends to ``events.jsonl`` in the study's directory; any other may read on from where it
was, however often either of them was killed. An event names its trial and epoch; what they came to is in the ledger,
which has it before the event is written. A line that a crash cut short is skipped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from search_space.errors import ConvscoutError, NoModelError, StudyInterrupted
from services.events import (
    BudgetsSpent,
    EpochEnded,
    Event,
    Listener,
    Loading,
    Notice,
    PhaseStarted,
    SearchStarted,
    Spending,
    TrialEnded,
    TrialEstimated,
    TrialStarted,
)
from services.home import Home
from services.study_status import StudyStatus
from services.trial_record import TrialRecord

FILE = "events.jsonl"
RUN_STARTED, RUN_ENDED = "run_started", "run_ended"
_LOADING_EVERY_S = 0.5  # images are read by the thousand in a second


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line. ``end`` is where it ends in the file, in bytes; ``at`` is in seconds since 1970."""

    end: int
    at: float
    kind: str
    facts: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as it stands in the file."""
        return {"at": self.at, "type": self.kind, **self.facts}


def journal_file(home: Home, study: str) -> Path:
    """Where the events of a study are, if it has any."""
    return home.study(study) / FILE


def journal_size(path: Path) -> int:
    """How many bytes the journal at ``path`` has, 0 where there is none."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def entries(path: Path, after: int = 0) -> Iterator[Entry]:
    """The whole lines of the journal at ``path`` behind the byte ``after``, or all if it is shorter than that."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        size = os.fstat(file.fileno()).st_size
        file.seek(after if 0 <= after <= size else 0)
        while (line := file.readline()).endswith(b"\n"):
            try:
                facts = json.loads(line)
                yield Entry(end=file.tell(), at=facts.pop("at"), kind=facts.pop("type"), facts=facts)
            except (ValueError, KeyError):  # a crash cut the one before it short
                continue


def last_run(path: Path) -> int:
    """Where in the journal at ``path`` the latest run begins, in bytes; 0 where there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return 0
    started = content.rfind(f'"type": "{RUN_STARTED}"'.encode())
    return content.rfind(b"\n", 0, started) + 1 if started >= 0 else 0


@contextmanager
def journalled(home: Home, study: str, listener: Listener, command: str) -> Iterator[Listener]:
    """``listener``, whose events are also kept, for the time of a run that ``command`` began; its end is told, too."""
    with _opened(home, study) as file:
        if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")

        def put(kind: str, facts: Mapping[str, Any]) -> None:
            file.write(json.dumps({"at": time.time(), "type": kind, **facts}).encode() + b"\n")

        put(RUN_STARTED, {"pid": os.getpid(), "command": command})
        try:
            yield _both(listener, put)
        except BaseException as error:
            with suppress(OSError):  # a disk without room, which the error says
                put(RUN_ENDED, _how(error))
            raise
        put(RUN_ENDED, {"how": StudyStatus.FINISHED})


def _opened(home: Home, study: str) -> IO[bytes]:
    """The journal, to be added to. Raises ``ConvscoutError`` where that is not possible."""
    path = journal_file(home, study)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab+", buffering=0)
    except OSError as error:
        raise ConvscoutError(
            f"{home.root} may not be written to: {error.strerror}", next_command="convscout doctor"
        ) from error


def _both(listener: Listener, put: Callable[[str, Mapping[str, Any]], None]) -> Listener:
    told_at = 0.0

    def told(event: Event) -> None:
        nonlocal told_at
        listener(event)
        if isinstance(event, Loading):
            if event.done < event.total and time.monotonic() - told_at < _LOADING_EVERY_S:
                return
            told_at = time.monotonic()
        put(_NAMES[type(event)], _facts(event))

    return told


def _how(error: BaseException) -> dict[str, str]:
    """How a run ends that ends by itself, for ``RUN_ENDED``: a status, and what went wrong."""
    if isinstance(error, StudyInterrupted):
        return {"how": StudyStatus.PAUSED if error.paused else StudyStatus.STOPPED}
    if isinstance(error, KeyboardInterrupt):
        return {"how": StudyStatus.STOPPED}
    following = error.next_command if isinstance(error, ConvscoutError) else ""
    how = StudyStatus.NO_MODEL if isinstance(error, NoModelError) else StudyStatus.FAILED
    return {"how": how, "error": str(error) or type(error).__name__, "next": following}


_NAMES: Mapping[type, str] = {
    Loading: "loading",
    SearchStarted: "search_started",
    TrialStarted: "trial_started",
    TrialEstimated: "trial_estimated",
    EpochEnded: "epoch",
    TrialEnded: "trial_ended",
    BudgetsSpent: "budgets",
    PhaseStarted: "phase",
    Notice: "notice",
}
_PLAIN: Mapping[str, type] = {_NAMES[kind]: kind for kind in (Loading, SearchStarted, PhaseStarted, Notice)}


def _facts(event: Event) -> dict[str, Any]:
    match event:
        case TrialStarted(trial=trial, epoch_s=epoch_s) | TrialEstimated(trial=trial, epoch_s=epoch_s):
            return {
                "trial": trial.number,
                "family": trial.family,
                "attempt": trial.attempt,
                "epoch_s": epoch_s,
            }
        case EpochEnded(trial=trial, measurement=measured):
            score = trial.quality.value(measured)
            return {"trial": trial.number, "epoch": measured.epoch, "score": score}
        case TrialEnded(trial=trial):
            return {
                "trial": trial.number,
                "family": trial.family,
                "state": str(trial.state),
                "score": trial.score,
                "score_text": "" if trial.score is None else trial.quality.text(trial.score),
                "reason": trial.reason,
            }
        case _:
            return asdict(event)


def event_of(entry: Entry, trial: Callable[[int], TrialRecord]) -> Event | None:
    """What the line was written for, with its trial as the ledger has it now; None of a run's start and end."""
    facts = entry.facts
    if entry.kind in _PLAIN:
        event: Event = _PLAIN[entry.kind](**facts)
        return event
    match entry.kind:
        case "budgets":
            return BudgetsSpent(spendings=tuple(Spending(**each) for each in facts["spendings"]))
        case "trial_started":
            return TrialStarted(trial=trial(facts["trial"]), epoch_s=facts["epoch_s"])
        case "trial_estimated":
            return TrialEstimated(trial=trial(facts["trial"]), epoch_s=facts["epoch_s"])
        case "trial_ended":
            return TrialEnded(trial=trial(facts["trial"]))
        case "epoch":
            record = trial(facts["trial"])
            measured = next((m for m in record.measurements if m.epoch == facts["epoch"]), None)
            return EpochEnded(trial=record, measurement=measured) if measured else None
    return None
