"""Event log: the events of a study as lines of a file, from which other processes than the one that runs it show it.

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
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from convscout.search_space.errors import ConvscoutError, NoModelError, StudyInterrupted
from convscout.services.config.study_ref import StudyRef
from convscout.services.events.events import Event, Listener, Loading
from convscout.services.events.facts import facts_of, kind_of
from convscout.services.schemas.study_status import StudyStatus

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


def event_log_path(ref: StudyRef) -> Path:
    """Where the events of a study are, if it has any."""
    return ref.directory / FILE


def event_log_bytes(path: Path) -> int:
    """How many bytes the event log at ``path`` has, 0 where there is none."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def entries(path: Path, after: int = 0) -> Iterator[Entry]:
    """The whole lines of the event log at ``path`` behind the byte ``after``, or all if it is shorter than that."""
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
    """Where in the event log at ``path`` the latest run begins, in bytes; 0 where there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return 0
    started = content.rfind(f'"type": "{RUN_STARTED}"'.encode())
    return content.rfind(b"\n", 0, started) + 1 if started >= 0 else 0


@contextmanager
def record_events(ref: StudyRef, listener: Listener, command: str) -> Iterator[Listener]:
    """``listener``, whose events are also kept, for the time of a run that ``command`` began, and its end, too."""
    with _open(ref) as file:
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


def _open(ref: StudyRef) -> IO[bytes]:
    """The event log, to be added to. Raises ``ConvscoutError`` where that is not possible."""
    path = event_log_path(ref)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab+", buffering=0)
    except OSError as error:
        raise ConvscoutError(
            f"{ref.home.root} may not be written to: {error.strerror}", next_command="convscout doctor"
        ) from error


def _both(listener: Listener, put: Callable[[str, Mapping[str, Any]], None]) -> Listener:
    loading_at = 0.0

    def notify(event: Event) -> None:
        nonlocal loading_at
        listener(event)
        if isinstance(event, Loading):
            if event.done < event.total and time.monotonic() - loading_at < _LOADING_EVERY_S:
                return
            loading_at = time.monotonic()
        put(kind_of(event), facts_of(event))

    return notify


def _how(error: BaseException) -> dict[str, str]:
    """How a run ends that ends by itself, for ``RUN_ENDED``: a status, and what went wrong."""
    if isinstance(error, StudyInterrupted):
        return {"how": StudyStatus.PAUSED if error.paused else StudyStatus.STOPPED}
    if isinstance(error, KeyboardInterrupt):
        return {"how": StudyStatus.STOPPED}
    following = error.next_command if isinstance(error, ConvscoutError) else ""
    how = StudyStatus.NO_MODEL if isinstance(error, NoModelError) else StudyStatus.FAILED
    return {"how": how, "error": str(error) or type(error).__name__, "next": following}
