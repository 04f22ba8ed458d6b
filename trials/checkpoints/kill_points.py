"""Kill points: where a process can be told to die, so that tests reach the moments around every durable write.

``CONVSCOUT_KILL_AT=before-report:3`` ends the process just before it makes a report durable for the third time,
``after-report:3`` just after, both as SIGKILL would: exit code 137, nothing flushed, nothing cleaned up.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

VARIABLE = "CONVSCOUT_KILL_AT"
EXIT_CODE = 137


class Write(StrEnum):
    """The kinds of durable writes."""

    # transactions of the ledger
    CREATE = "create"
    CLOCK = "clock"
    NOTE = "note"
    ENQUEUE = "enqueue"
    COMMIT = "commit"
    REPORT = "report"
    END = "end"
    ADOPT = "adopt"
    REOPEN = "reopen"
    LOSE = "lose"
    # files of a study
    RENAME = "rename"  # of whatever is written under a temporary name: claims, epochs, best epochs, messages
    SETTLE = "settle"
    CLOSE = "close"
    DISCARD = "discard"
    OBEY = "obey"  # a message is taken away, which was acted on
    EXPORT = "export"


@contextmanager
def durable(write: Write) -> Iterator[None]:
    """Within, something is made durable."""
    _pass(f"before-{write}")
    yield
    _pass(f"after-{write}")


_passed: Counter[str] = Counter()
_one_at_a_time = threading.Lock()


def _pass(point: str) -> None:
    wanted, _, count = os.environ.get(VARIABLE, "").partition(":")
    if wanted != point:
        return
    with _one_at_a_time:
        _passed[point] += 1
        if _passed[point] == int(count or 1):
            os._exit(EXIT_CODE)
