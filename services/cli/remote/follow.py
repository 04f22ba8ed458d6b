"""Watching a study that a service runs: its events as they happen, and how it stands each second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.live import Live

from convscout.search_space.errors import ConvscoutError, StudyInterrupted
from convscout.services.cli.output import print_json
from convscout.services.cli.remote.live_table import Standing, event_line, picture
from convscout.services.cli.remote.outcome import tell_outcome
from convscout.services.cli.remote.summary import best_line, summary
from convscout.services.client.event_stream import StudyEvent
from convscout.services.events.wording import status_text
from convscout.services.schemas.studies import StudyDetail
from convscout.services.schemas.study_status import StudyStatus

if TYPE_CHECKING:
    from convscout.services.client import Client

Update: TypeAlias = StudyEvent | Standing | BaseException
_LOOK_EVERY_S = 1.0
_PROGRESS_EVERY_S = 10.0
_LEADERS = 5
# by then all events of a study that ended have come, and one that made room for another waits for its next turn
_SURELY_S = 2.0


def watch(client: Client, name: str, after: str | None, *, json: bool) -> None:
    """Show how the study goes on, from the event ``after`` on, and what it came to once it has ended.

    Raises ``StudyInterrupted`` when it ends before its budget does, and on Ctrl-C, which lets it go on.
    """
    try:
        study = _watch(client, name, after, quiet=json)
    except KeyboardInterrupt:
        raise StudyInterrupted(
            f"study {name} goes on at {client.url}; look at it: convscout show {name} --server {client.url}",
            next_command=f"convscout stop {name}",
        ) from None
    if study.status.wrong:
        raise ConvscoutError(study.error or study.message, next_command=study.next_command)
    if study.status is not StudyStatus.FINISHED:
        raise StudyInterrupted(f"study {name} is {study.status}", next_command=study.next_command)
    if json:
        print_json(study.model_dump(mode="json"))
    else:
        tell_outcome(client.url, study)


def _watch(client: Client, name: str, after: str | None, *, quiet: bool) -> StudyDetail:
    """Show the study until it has ended; returns how it stands then."""
    received: SimpleQueue[Update] = SimpleQueue()
    ended = threading.Event()
    _in_background(received, lambda: _listen(client, name, after, received))
    _in_background(received, lambda: _look(client, name, received, ended))
    show, ended_at = _display(Console(quiet=quiet)), None
    try:
        with show:
            while True:
                news = received.get()
                if isinstance(news, BaseException):
                    raise news
                show(news)
                if isinstance(news, StudyEvent):
                    continue
                ended_at = None if news.study.status.active else ended_at or time.monotonic()
                if ended_at is not None and time.monotonic() - ended_at >= _SURELY_S:
                    return news.study
    finally:
        ended.set()


def _in_background(received: SimpleQueue[Update], action: Callable[[], None]) -> None:
    """Do ``action`` in a thread, and put its error, if any, into ``received``."""

    def run() -> None:
        try:
            action()
        except Exception as error:
            received.put(error)

    threading.Thread(target=run, daemon=True).start()


def _listen(client: Client, name: str, after: str | None, received: SimpleQueue[Update]) -> None:
    for event in client.events(name, after):
        received.put(event)


def _look(client: Client, name: str, received: SimpleQueue[Update], ended: threading.Event) -> None:
    while not ended.is_set():
        study = client.study(name)
        begun = bool(study.trials)
        received.put(Standing(study, client.leaderboard(name, _LEADERS) if begun else []))
        ended.wait(_LOOK_EVERY_S)


def _display(console: Console) -> _LiveWatch | _PlainWatch:
    return _LiveWatch(console) if console.is_terminal and not console.quiet else _PlainWatch(console)


class _LiveWatch(AbstractContextManager[None]):
    """A table that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4)

    def __call__(self, news: StudyEvent | Standing) -> None:
        if isinstance(news, Standing):
            self._live.update(picture(news, self._console.width, self._console.height))

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *error: object) -> None:
        self._live.stop()


class _PlainWatch(AbstractContextManager[None]):
    """A line for whatever happens, and one on progress every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._standing: Standing | None = None
        self._printed_at = time.monotonic()

    def __call__(self, news: StudyEvent | Standing) -> None:
        if isinstance(news, StudyEvent):
            self._print(event_line(news))
            return
        before, self._standing = self._standing, news
        study, known = news.study, before.study if before else None
        if known is None or known.status is not study.status:
            self._print(status_text(study.name, study.status, study.queue_position))
        if study.best and (known is None or study.best != known.best):
            self._print(best_line(study.best))
        elif time.monotonic() - self._printed_at >= _PROGRESS_EVERY_S:
            self._print(summary(study))

    def __exit__(self, *error: object) -> None:
        """There is nothing to end."""

    def _print(self, line: str) -> None:
        if line:
            self._printed_at = time.monotonic()
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
