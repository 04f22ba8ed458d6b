"""Readers: one reader for each study of a home, made when it is first asked for and kept."""

from __future__ import annotations

import threading

from services.control.reader import StudyReader
from services.home import Home


class Readers:
    """The readers of the studies of ``home``."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._readers: dict[str, StudyReader] = {}
        self._one_at_a_time = threading.Lock()

    def of(self, name: str) -> StudyReader:
        """The reader of the study called ``name``, whether or not there is one."""
        with self._one_at_a_time:
            if name not in self._readers:
                self._readers[name] = StudyReader(self._home, name)
            return self._readers[name]

    def forget(self, name: str) -> None:
        """Keep nothing of a study that is gone."""
        with self._one_at_a_time:
            self._readers.pop(name, None)
