"""Mirror: the thread that keeps MLflow up to date with the ledger while a search runs.

Level-triggered: a trial that was touched is read from the ledger and its run brought to what the
ledger says, however many words were missed. A slow or dead tracking server delays only this thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convscout.services.tracking.projector import Projector

_PACE_S = 0.5  # words that come closer together are answered in one go
_LONGEST_BACKOFF_S = 30.0
_PLOTS_PACE_S = 30.0  # between two drawings of the study, at least,
_PLOTS_SHARE = 0.01  # and they take no more than this share of the time: drawing keeps the controller waiting


class Mirror:
    """Projects one study into MLflow from a thread of its own, which opens the projector, too.

    ``touch`` and ``touch_study`` say that something changed and return at once. What is not done when
    the mirror is closed, ``sync`` or the next mirror does.
    """

    def __init__(self, open_projector: Callable[[], Projector]) -> None:
        self._open_projector = open_projector
        self._opened: Projector | None = None
        self._changed = threading.Condition()  # guards all that follows
        self._touched: dict[int, None] = {}  # an ordered set
        self._unknown: set[int] = set()  # trials of earlier searches that MLflow has yet to be asked about
        self._current: int | None = None
        self._study_touched = True
        self._surveyed = False
        self._closing = False
        self._problem = ""
        self._plots_due_s = time.monotonic() + _PLOTS_PACE_S
        self._thread = threading.Thread(target=self._run, name="mlflow-mirror", daemon=True)

    def start(self) -> None:
        """Begin, with whatever earlier searches of this study left undone."""
        self._thread.start()

    def touch(self, number: int) -> None:
        """Something about the trial changed."""
        with self._changed:
            self._touched[number] = None
            self._changed.notify()

    def touch_study(self) -> None:
        """Something about the study itself changed, such as its notes."""
        with self._changed:
            self._study_touched = True
            self._changed.notify()

    def touch_plots(self) -> None:
        """The plots should show what is known now, without waiting for their turn."""
        with self._changed:
            self._plots_due_s, self._study_touched = 0.0, True
            self._changed.notify()

    @property
    def problem(self) -> str:
        """One line on why MLflow is behind, empty while all is well."""
        return self._problem

    @property
    def pending(self) -> int:
        """How many trials MLflow still lacks in part."""
        with self._changed:
            return len(self._touched.keys() | self._unknown | ({self._current} - {None}))

    def close(self, timeout_s: float) -> int:
        """Flush within ``timeout_s`` and stop; returns how many trials are still pending.

        A store that fails while flushing is not waited for.
        """
        with self._changed:
            self._closing = self._study_touched = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return self.pending

    def _run(self) -> None:
        backoff_s, closing = _PACE_S, False
        while not closing:
            with self._changed:
                self._changed.wait_for(lambda: self._touched or self._study_touched or self._closing)
                closing = self._closing
            try:
                self._drain(active=not closing)
                self._problem, backoff_s = "", _PACE_S
            except Exception as error:  # whatever it is, it must not reach the search
                self._problem = one_line(error)
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, backoff_s)

    @property
    def _projector(self) -> Projector:
        if self._opened is None:
            self._opened = self._open_projector()
        return self._opened

    def _drain(self, *, active: bool) -> None:
        if not self._surveyed:
            self._survey()
        while (number := self._take()) is not None:
            try:
                final = self._projector.update_trial(number)
            except Exception:
                self._done(put_back=number)  # at the end, so that one bad trial does not hold up the others
                raise
            self._done(study_touched=final)
        with self._changed:
            due, self._study_touched = self._study_touched or not active, False
        if due:
            try:
                self._projector.update_study(active=active)
            except Exception:
                self._done(study_touched=True)
                raise
        if not active or time.monotonic() >= self._plots_due_s:
            self._draw()

    def _draw(self) -> None:
        began_s = time.monotonic()
        self._projector.update_plots()
        took_s = time.monotonic() - began_s
        self._plots_due_s = began_s + max(_PLOTS_PACE_S, took_s / _PLOTS_SHARE)

    def _survey(self) -> None:
        """Find what earlier searches left undone. Finished runs are dropped again: they never change."""
        records = self._projector.read_ledger()
        with self._changed:
            self._unknown = {record.number for record in records}
        behind = [record.number for record in records if not self._projector.is_current(record)]
        with self._changed:
            self._touched = dict.fromkeys(behind) | self._touched  # what has changed meanwhile stays
            self._unknown = set()
        self._surveyed = True

    def _take(self) -> int | None:
        with self._changed:
            self._current = next(iter(self._touched), None)
            if self._current is not None:
                del self._touched[self._current]
            return self._current

    def _done(self, *, put_back: int | None = None, study_touched: bool = False) -> None:
        with self._changed:
            self._current = None
            self._study_touched |= study_touched
            if put_back is not None:
                self._touched[put_back] = None


def one_line(error: Exception) -> str:
    """What went wrong, without what MLflow adds on further lines."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:300]}"
