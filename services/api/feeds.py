"""Feeds: who waits for something to happen in a study is woken when it has; however many wait, one looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

GLANCE_S = 0.5


class Feed:
    """One study's. ``look`` says how it stands: whenever that is another answer than before, something has happened."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self._listeners = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[Feed]:
        """Within, ``changed`` works."""
        self._listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        try:
            yield self
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._task.cancel()
                self._task = None

    async def changed(self, most_s: float) -> bool:
        """Wait until something has happened, but no longer than ``most_s`` seconds; returns whether it has."""
        try:
            await asyncio.wait_for(self._changed.wait(), most_s)
        except TimeoutError:
            return False
        return True

    async def _watch(self) -> None:
        before = await asyncio.to_thread(self._look)
        while True:
            await asyncio.sleep(GLANCE_S)
            now = await asyncio.to_thread(self._look)
            if now != before:
                before, waking = now, self._changed
                self._changed = asyncio.Event()
                waking.set()


class Feeds:
    """The feeds of all studies."""

    def __init__(self, look: Callable[[str], object]) -> None:
        self._look = look
        self._feeds: dict[str, Feed] = {}

    def of(self, name: str) -> Feed:
        """The feed of one study."""
        if name not in self._feeds:
            self._feeds[name] = Feed(lambda: self._look(name))
        return self._feeds[name]
