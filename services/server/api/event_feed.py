"""Feeds: who waits for something to happen in a study is woken when it has; however many wait, one looks and reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from convscout.search_space.errors import ConvscoutError

GLANCE_S = 1.0


@dataclass(frozen=True)
class Stand:
    """How a study stands: whenever that is another than before, something has happened.

    ``size`` is how many bytes its event log has.
    """

    status: str
    size: int


@dataclass(frozen=True)
class News:
    """What has happened, as it goes over the wire, up to a ``position`` in the event log."""

    text: bytes
    position: int


class Feed:
    """One study's. ``look`` says how it stands, ``read`` what has happened behind a position; both may take a while.

    ``notify`` is called when something has happened, before anybody is woken. Those who follow find in ``stand`` how
    the study stood at the last glance, and in ``turn`` what is set at the next change.
    """

    def __init__(
        self, look: Callable[[], Stand], read: Callable[[int], News], notify: Callable[[], None]
    ) -> None:
        self._look = look
        self._read = read
        self._notify = notify
        self._listeners = 0
        self._watching: asyncio.Task[None] | None = None
        self._news: dict[int, asyncio.Task[News]] = {}  # since the last change, by where it begins
        self.stand: Stand | None = None
        self.turn = asyncio.Event()

    @contextmanager
    def followed(self, stand: Stand) -> Iterator[None]:
        """Within, a look is taken again and again; ``stand`` is that of who begins to follow."""
        self._listeners += 1
        if self._watching is None:
            self._turn(stand)
            self._watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._watching.cancel()
                self._watching = None

    async def news(self, position: int) -> News:
        """What has happened behind ``position``. All who ask for the same share one reading."""
        if position not in self._news:
            self._news[position] = asyncio.create_task(asyncio.to_thread(self._read, position))
        return await asyncio.shield(self._news[position])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(GLANCE_S)
            with suppress(ConvscoutError):  # a database that is away for a while
                now = await asyncio.to_thread(self._look)
                if now != self.stand:
                    self._turn(now)

    def _turn(self, stand: Stand) -> None:
        waking, self.turn = self.turn, asyncio.Event()
        self.stand, self._news = stand, {}
        self._notify()
        waking.set()


class Feeds:
    """The feeds of all studies, each made by ``begin`` from the study's name."""

    def __init__(self, begin: Callable[[str], Feed]) -> None:
        self._begin = begin
        self._feeds: dict[str, Feed] = {}

    def of(self, name: str) -> Feed:
        """The feed of one study."""
        if name not in self._feeds:
            self._feeds[name] = self._begin(name)
        return self._feeds[name]
