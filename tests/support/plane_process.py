"""A control plane in a process of its own, which can be asked, and killed at any moment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from tests.support.forked import CONTEXT
from tests.support.planes import plane_of
from tests.support.short_jobs import short_jobs


@dataclass
class Refused(Exception):
    """What the plane refused to do: the error of that ``kind``, which said ``text``."""

    kind: type[ConvscoutError]
    text: str


class PlaneProcess:
    """The control plane of ``home`` as the service runs it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._begin()

    def ask(self, what: str, *given: Any) -> Any:
        """What ``plane.what(*given)`` answers; ``what`` may go through attributes. Raises ``Refused``."""
        self._connection.send((what, given))
        answer = self._connection.recv()
        if isinstance(answer, Refused):
            raise answer
        return answer

    def replace(self, what: str = "", *given: Any, within_s: float = 0.0) -> None:
        """Kill it, perhaps while it does ``what``, and begin another one."""
        if what:
            self._connection.send((what, given))
            self._connection.poll(within_s)
        self.kill()
        self._begin()

    def kill(self) -> None:
        """SIGKILL, which does not reach what it has begun."""
        self._process.kill()
        self._process.join()

    def _begin(self) -> None:
        self._connection, other = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_serve, args=(self._home.root, other))
        self._process.start()


def _serve(root: os.PathLike[str], connection: Connection) -> None:
    plane = plane_of(Home.at(root))
    with short_jobs(), plane.running():
        while True:
            what, given = connection.recv()
            found: Any = plane
            for name in what.split("."):
                found = getattr(found, name)
            try:
                connection.send(found(*given))
            except ConvscoutError as error:
                connection.send(Refused(type(error), str(error)))
