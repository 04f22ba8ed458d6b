"""Attempts: who tries wrong tokens has to wait, longer each time."""

from __future__ import annotations

import hashlib
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

LONGEST_WAIT_S = 60.0
FREE = 5  # wrong tokens of one client that cost nothing
FREE_OF_ALL = 50  # and of all clients together
_FORGOTTEN_S = 600.0
_KNOWN_S = 86_400.0
_CLIENTS = 10_000  # that are remembered at once


@dataclass
class _Record:
    failures: int = 0
    until_s: float = -math.inf  # no attempt is looked at before
    last_s: float = -math.inf
    wrong: deque[bytes] = field(default_factory=lambda: deque(maxlen=8))  # what was tried last, as a hash

    def add(self, now_s: float, free: int) -> None:
        if now_s - self.last_s > _FORGOTTEN_S:
            self.failures = 0
        self.failures, self.last_s = self.failures + 1, now_s
        over = self.failures - free
        if over > 0:
            self.until_s = now_s + min(2.0 ** min(over - 1, 16), LONGEST_WAIT_S)


class Attempts:
    """Wrong tokens by client and of all together. A client that was right within a day minds its own errors alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = _Record()
        self._clients: dict[str, _Record] = {}
        self._known: dict[str, float] = {}

    def wait_s(self, client: str) -> float:
        """Seconds until a token of ``client`` is looked at again; 0 where it is looked at now."""
        now_s, own = self._clock(), self._clients.get(client)
        until_s = own.until_s if own else -math.inf
        if now_s - self._known.get(client, -math.inf) > _KNOWN_S:
            until_s = max(until_s, self._all.until_s)
        return max(0.0, until_s - now_s)

    def repeated(self, client: str, token: str) -> bool:
        """Whether ``client`` sends a wrong ``token`` again, as a program with an old one does: that is no guess."""
        tried = hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=8).digest()
        wrong = self._clients.setdefault(client, _Record()).wrong
        if tried in wrong:
            return True
        wrong.append(tried)
        return False

    def failed(self, client: str) -> None:
        """``client`` was wrong."""
        record = self._clients.setdefault(client, _Record())
        now_s = self._clock()
        record.add(now_s, FREE)
        self._all.add(now_s, FREE_OF_ALL)
        self._forget(now_s)

    def succeeded(self, client: str) -> None:
        """``client`` was right."""
        self._clients.pop(client, None)
        self._known.pop(client, None)
        self._known[client] = self._clock()  # the newest one last
        if len(self._known) > _CLIENTS:
            del self._known[next(iter(self._known))]

    def _forget(self, now_s: float) -> None:
        """Bound what is remembered: those that have been silent, then whoever came first."""
        if len(self._clients) <= _CLIENTS:
            return
        kept = {name: one for name, one in self._clients.items() if now_s - one.last_s <= _FORGOTTEN_S}
        self._clients = dict(list(kept.items())[-_CLIENTS // 2 :])
