"""The fence: a study is written only by whom the ledger itself says it belongs to.

The ledger has a row for each study's lease: who holds it, a token that grows whenever it changes hands, and a
counter that each write and each heartbeat moves. Every transaction that writes begins by moving that row on from
what the writer knows of it. If it holds anything else, somebody has taken over, and nothing is written: a process
that was frozen for hours cannot undo what was done since. (Kleppmann, "How to do distributed locking", 2016.)

The same row tells whether a transaction was applied whose answer was lost: then it holds what that
transaction would have moved it to, and the repetition does nothing.
"""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, bindparam, update
from sqlalchemy.exc import DBAPIError

from convscout.search_space.errors import LeaseLostError, LedgerAwayError, StudyLockedError
from convscout.services.config.home import Home
from convscout.services.ledger.optuna_schema import (
    STUDY_SYSTEM,
    STUDY_USER,
    put_study_attribute,
    study_attribute,
)
from convscout.services.ledger.retries import RETRY_S, cause, is_passing, persistently
from convscout.services.system.locks import is_free

T = TypeVar("T")

LEASE_KEY = "convscout:lease"
HOME_KEY = "home"  # the identity of the home that a study belongs to
_RELEASE_S = 5.0
# composed once: every write begins with it, and composing it takes longer than executing it
_MOVE = (
    update(STUDY_SYSTEM)
    .where(
        STUDY_SYSTEM.c.study_id == bindparam("study"),
        STUDY_SYSTEM.c.key == LEASE_KEY,
        STUDY_SYSTEM.c.value_json.in_(bindparam("possible", expanding=True)),
    )
    .values(value_json=bindparam("goal"))
)
_KEYS = {"beat": "heartbeat"}  # as it is stored, and was by every version: rows are compared as text


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that runs a study, on the machine called ``host``.

    ``since`` is in seconds since 1970 by its own clock, and only shown. ``lock`` is the file that it holds locked
    for as long as it lives, and ``mark`` a word that it has written there, so that no other file is taken for it.
    """

    host: str
    pid: int
    since: float
    lock: str
    mark: str

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine."""
        return self.host == socket.gethostname()

    def is_dead(self, home: Home) -> bool:
        """Whether it is known to have ended, however it did, or to have run in another home than ``home``."""
        lock = Path(self.lock)
        if home.keeps_ledger:  # the lease came with the home, which may have been moved or copied since
            lock = home.root.joinpath(*lock.parts[-3:])
        # a file without the mark is another one of that name, on another machine of the same name
        return self.is_here and lock.exists() and self.mark in lock.read_text().split() and is_free(lock)

    def __str__(self) -> str:
        began = datetime.fromtimestamp(self.since).astimezone()
        return f"process {self.pid} on {self.host} since {began:%Y-%m-%d %H:%M:%S %Z}"


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What the row of a study says.

    ``token`` counts the holders, ``heartbeat`` the signs of life. ``writer`` names who wrote the row, so that no
    two ever write the same. ``files`` says under which home, on which machine, the study's files lie.
    """

    token: int = 0
    heartbeat: int = 0
    writer: str = ""
    files: str = ""
    holder: Holder | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        known = {_KEYS.get(name, name): value for name, value in values.items()}
        return cls(**{**known, "holder": Holder(**known["holder"]) if known["holder"] else None})

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """The inverse of ``text``; a study of Optuna's that has none is held by nobody."""
        return cls.from_dict(json.loads(text)) if text else cls()

    def living_holder(self, home: Home) -> Holder | None:
        """Who holds it in ``home``, unless that one is known to have ended."""
        return None if self.holder is None or self.holder.is_dead(home) else self.holder

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        stored = {name: key for key, name in _KEYS.items()}
        return {stored.get(name, name): value for name, value in asdict(self).items()}

    @property
    def text(self) -> str:
        """As it is stored."""
        return json.dumps(self.to_dict())


def read_lease(engine: Engine, study: int) -> Lease:
    """The lease on the study of that key, as it is now."""
    with engine.connect() as connection:
        return Lease.parse(study_attribute(connection, STUDY_SYSTEM, study, LEASE_KEY))


class Fence:
    """What this process knows of the lease on one study, and its way to write there. Usable from several threads."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        study: int,
        known: Lease,
        *,
        notify: Callable[[str], None] | None = None,
        patience_s: float = RETRY_S,
    ) -> None:
        """``study`` is the key of the study called ``name``, and ``known`` its lease as it was read.

        While nobody holds the lease, who writes first wins. ``notify`` hears of a database that does not answer,
        ``patience_s`` is for how long that is borne.
        """
        self.engine = engine
        self.name = name
        self.known = known
        self._study = study
        self._notify = notify
        self._patience_s = patience_s
        self._owner: Holder | None = None
        self._unsure: tuple[Lease, ...] = ()  # a beat whose answer was lost: the row may hold it already
        self._last_beat = known.heartbeat
        self._word = uuid.uuid4().hex
        self._over: Exception | None = None
        self._one_at_a_time = threading.Lock()

    def check(self) -> None:
        """Raise what ended this process's right to write, if anything has."""
        if self._over:
            raise self._over

    @property
    def lost(self) -> bool:
        """Whether this process may write no more."""
        return self._over is not None

    def write(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns, done in one transaction together with a sign of life; nobody's unless it is ours.

        ``work`` is repeated while the database is locked or away, so it must not depend on being called once.
        Raises ``LeaseLostError`` when another process has taken the study over, ``LedgerAwayError`` when the
        database stays away; after either this process writes nothing more.
        """
        with self._one_at_a_time:
            self.check()
            if self.known.holder != self._owner:
                raise StudyLockedError(f"study {self.name!r} is being run by {self.known.holder}")
            try:
                return self._move(self._next(), work)
            except (LeaseLostError, LedgerAwayError) as error:
                self._over = error
                raise

    def claim(self, holder: Holder, files: str, home: str = "") -> None:
        """Make ``holder`` the one who may write, ``files`` the place of the study's, and ``home`` whose study it is.

        Raises ``StudyLockedError`` when another one was faster.
        """

        def own(connection: Connection) -> None:
            if home:  # else no version that knows identities has written to it
                put_study_attribute(connection, STUDY_USER, self._study, HOME_KEY, home)

        with self._one_at_a_time:
            try:
                goal = replace(self._next(), token=self.known.token + 1, holder=holder, files=files)
                self._move(goal, own)
            except LeaseLostError:
                raise StudyLockedError(f"another process has just begun to run study {self.name!r}") from None
            self._owner = holder

    def release(self) -> None:
        """Let the study go, unless it is lost already. Raises ``LedgerAwayError`` when the database is away."""
        with self._one_at_a_time:
            if not self._over:
                self._patience_s = min(self._patience_s, _RELEASE_S)
                self._move(replace(self._next(), holder=None), lambda connection: None)
                self._owner = None

    def heartbeat(self) -> None:
        """Show that this process lives, unless a write is doing so at this moment."""
        if not self._one_at_a_time.acquire(blocking=False):
            return
        try:
            goal = self._unsure[-1] if self._unsure else self._next()
            try:
                with self.engine.begin() as connection:
                    self._advance(connection, goal)
            except DBAPIError:  # the next write says what is wrong
                self._unsure = (goal,)
                return
            except _AppliedError:
                pass
            self.known, self._unsure = goal, ()
        except LeaseLostError as error:
            self._over = error
        finally:
            self._one_at_a_time.release()

    def _next(self) -> Lease:
        """The lease after one more sign of life, which no earlier attempt has tried to write."""
        self._last_beat += 1
        return replace(self.known, heartbeat=self._last_beat, writer=self._word)

    def _move(self, goal: Lease, work: Callable[[Connection], T]) -> T:
        """Bring the row to ``goal`` and do ``work`` with it."""
        done: list[T] = []

        def attempt() -> T:
            with self.engine.begin() as connection:
                self._advance(connection, goal)
                done.append(work(connection))
                return done[-1]

        try:
            result = persistently(attempt, notify=self._notify, patience_s=self._patience_s)
        except _AppliedError:
            result = done[-1]  # of the attempt that was applied, though it failed to say so
        except DBAPIError as error:
            if not is_passing(error):
                raise
            raise LedgerAwayError(
                f"the ledger's database has not answered for {self._patience_s:.0f} s ({cause(error)}); "
                f"all that was saved before is kept",
                next_command=f"convscout resume {self.name}",
            ) from error
        self.known, self._unsure = goal, ()
        return result

    def _advance(self, connection: Connection, goal: Lease) -> None:
        """Move the row to ``goal``, which also keeps every other writer of the study waiting until the end."""
        possible = [lease.text for lease in (self.known, *self._unsure) if lease != goal]
        row = {"study": self._study, "possible": possible, "goal": goal.text}
        if connection.execute(_MOVE, row).rowcount == 1:
            return
        stored = study_attribute(connection, STUDY_SYSTEM, self._study, LEASE_KEY)
        if stored == goal.text:
            raise _AppliedError
        raise LeaseLostError(self._who(stored))

    def _who(self, stored: str | None) -> str:
        now = Lease.parse(stored)
        if now.holder is None:
            return f"study {self.name!r} was changed by another process; nothing more is written here"
        return f"study {self.name!r} was taken over by {now.holder}; nothing more is written here"


class _AppliedError(Exception):
    """The transaction was applied by an earlier attempt at it."""
