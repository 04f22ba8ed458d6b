"""CommandQueue: what other commands ask of the process that runs a study, as files in the study's directory.

A message is written under a temporary name and renamed, so it is seen whole or not at all. It is taken away
after it was acted on: a crash in between repeats it, so acting twice must come to the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from convscout.services.config.study_ref import StudyRef
from convscout.trials.checkpoints.durable_files import put_file
from convscout.trials.checkpoints.kill_points import Write, durable

CHANGE = "change"  # settings, by field name
ENQUEUE = "enqueue"  # the parameters of a trial
RETRY = "retry"  # {"number": of a trial that was stopped or failed}
STOP_TRIAL = "stop-trial"  # {"number": of a trial that is running}
PAUSE = "pause"


@dataclass(frozen=True, kw_only=True)
class Command:
    """``kind`` says what is asked for, ``content`` the rest, in JSON types."""

    kind: str
    content: dict[str, Any] = field(default_factory=dict)


class CommandQueue:
    """The messages to whoever runs the study called ``name``."""

    def __init__(self, ref: StudyRef) -> None:
        self._directory = ref.directory / "inbox"

    def put(self, message: Command) -> None:
        """Leave ``message`` to be acted on."""
        self._directory.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"kind": message.kind, "content": message.content})
        put_file(self._directory / f"{time.time_ns():020d}.json", content.encode())

    def take(self) -> Iterator[Command]:
        """The messages in the order they came; each is gone once the next is asked for."""
        for path in sorted(self._directory.glob("*.json")):
            yield Command(**json.loads(path.read_text()))
            with durable(Write.OBEY):
                path.unlink(missing_ok=True)

    def discard(self, kind: str, before_s: float) -> None:
        """Take away what was asked of an earlier run, before that moment (since 1970), and no longer makes sense."""
        for path in self._directory.glob("*.json"):
            if int(path.stem) < before_s * 1e9 and json.loads(path.read_text())["kind"] == kind:
                path.unlink(missing_ok=True)

    def holds(self, kind: str) -> bool:
        """Whether a message of that kind waits."""
        for path in self._directory.glob("*.json"):
            with suppress(FileNotFoundError):  # it has just been acted on
                if json.loads(path.read_text())["kind"] == kind:
                    return True
        return False

    def __bool__(self) -> bool:
        return any(self._directory.glob("*.json"))


def wait_until_empty(inbox: CommandQueue, patience_s: float) -> bool:
    """Whether all messages were acted on within ``patience_s`` seconds."""
    give_up = time.monotonic() + patience_s
    while inbox:
        if time.monotonic() > give_up:
            return False
        time.sleep(0.1)
    return True
