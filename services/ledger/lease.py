"""The lease: at most one controller runs a study at a time, on however many machines.

The ledger says who (``fence.py``), and the holder moves a counter there every few seconds. Whether it still lives is
judged in two ways, neither of which compares clocks: on its own machine by a file that it holds locked, which
the system frees however it dies; elsewhere by watching the counter stand still for long enough.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine

from convscout.search_space.errors import (
    ConvscoutError,
    LeaseLostError,
    LedgerAwayError,
    StudyLockedError,
    UserError,
)
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.fencing import HOME_KEY, Fence, Holder, Lease, read_lease
from convscout.services.ledger.migrations import require_current
from convscout.services.ledger.optuna_schema import notes, study_row
from convscout.services.ledger.ownership import place_of, refuse_foreign
from convscout.services.system.locks import lock_file
from convscout.trials.checkpoints.durable_files import flush

BEAT_S = 2.0
LAPSE_S = 30.0
"""A lease lapses when its counter has stood still for so many seconds, by the clock of the process that watches."""

LOCK_FILE = "controller.lock"
_GLANCE_S = 3 * BEAT_S


@contextmanager
def lease(
    ref: StudyRef,
    *,
    take_over: bool = False,
    notify: Callable[[str], None] | None = None,
    lapse_s: float = LAPSE_S,
) -> Iterator[Fence]:
    """Hold the study called ``name``, which must exist, and show it; what is written goes through the fence.

    Raises ``StudyLockedError`` when another controller holds it that is not known to be dead; ``take_over`` takes
    it from one that shows no sign of life for ``lapse_s`` seconds, or from another home. ``notify`` hears what a person
    should know. Raises ``UserError`` for a study of another schema, and for one that belongs to another home or whose
    files lie there.
    """
    engine, study = _locate(ref)
    found = read_lease(engine, study)
    if not take_over:
        refuse_foreign(ref, notes(engine, HOME_KEY).get(ref.name), found.files)
    if found.living_holder(ref.home):
        found = _lapse(engine, study, ref, found, lapse_s if take_over else None, notify)
    if found.files and not ref.directory.exists():
        raise UserError(
            f"the files of study {ref.name!r} are not under {ref.home.root}, but under {found.files}; go on there, "
            f"or copy its directory studies/{ref.name} here"
        )
    with _this_process(ref.directory, found.token + 1) as holder:
        fence = Fence(engine, ref.name, study, found, notify=notify)
        fence.claim(holder, place_of(ref.home), ref.home.id)
        try:
            with _heart(fence):
                yield fence
        finally:
            with suppress(LedgerAwayError, LeaseLostError):  # the file that is freed says it, too
                fence.release()


def holder(ref: StudyRef) -> Holder | None:
    """Who runs the study called ``name``, as far as can be told at once, or None."""
    return read_lease(*_locate(ref)).living_holder(ref.home)


def refuse_elsewhere(found: Holder, name: str) -> None:
    """Raise ``ConvscoutError`` when the holder of the study called ``name`` is no process of this machine."""
    if not found.is_here:
        raise ConvscoutError(
            f"study {name!r} is being run by {found}, and this is {socket.gethostname()}; "
            f"on {found.host}, type: convscout stop {name}"
        )


def _locate(ref: StudyRef) -> tuple[Engine, int]:
    engine = open_storage(ref.home)
    require_current(engine, ref.name)
    with engine.connect() as connection:
        return engine, study_row(connection, ref.name)


def _lapse(
    engine: Engine,
    study: int,
    ref: StudyRef,
    seen: Lease,
    lapse_s: float | None,
    notify: Callable[[str], None] | None,
) -> Lease:
    """The lease once its holder is gone, or has stood still for ``lapse_s``; None waits for no lease to lapse.

    Raises ``StudyLockedError`` saying whether the holder lives.
    """
    name = ref.name
    if lapse_s and notify:
        notify(
            f"study {name!r} is held by {seen.holder}; taken over unless that stirs within {lapse_s:.0f} s"
        )
    watched_s = lapse_s or _GLANCE_S
    give_up = time.monotonic() + watched_s
    while time.monotonic() < give_up:
        time.sleep(BEAT_S / 8)
        now = read_lease(engine, study)
        if not (found := now.living_holder(ref.home)):
            return now
        if now != seen:
            stop = f"convscout stop {name}" if found.is_here else f"on {found.host}: convscout stop {name}"
            raise StudyLockedError(f"study {name!r} is being run by {found}", next_command=stop)
    if lapse_s:
        return seen
    raise StudyLockedError(
        f"study {name!r} is held by {seen.holder}, which has shown no sign of life for {watched_s:.0f} s",
        next_command=f"convscout resume {name} --take-over",
    )


@contextmanager
def _this_process(directory: Path, token: int) -> Iterator[Holder]:
    """This process as a holder, for the time of the block.

    Its file is another than usual if a process that was taken over holds that still, because it is frozen.
    """
    spare = directory / f"controller-{token}.lock"
    with lock_file(directory / LOCK_FILE, spare) as locked:
        if locked is None:
            raise StudyLockedError(f"another process has just begun to run study {directory.name!r}")
        path, file = locked
        mark = uuid.uuid4().hex
        file.write(f"{mark}\n")
        file.flush()
        # on disk before the ledger names it: when the power fails, this is how to know that its holder is dead
        flush(path)
        flush(directory)
        yield Holder(host=socket.gethostname(), pid=os.getpid(), since=time.time(), lock=str(path), mark=mark)
        if path == spare:
            path.unlink()


@contextmanager
def _heart(fence: Fence) -> Iterator[None]:
    """Within, the lease shows a sign of life every few seconds, from a thread of its own."""
    stop = threading.Event()

    def heartbeat() -> None:
        while not fence.lost and not stop.wait(BEAT_S):
            fence.heartbeat()

    thread = threading.Thread(target=heartbeat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
