"""Waiting for what a service does: jobs, and studies that are about to stand otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as ProgressBar

if TYPE_CHECKING:
    from convscout.services.client import Client
    from convscout.services.client.client import Progress
    from convscout.services.schemas.studies import JobView, StudyDetail

_GLANCE_S = 0.5


def wait(client: Client, job: JobView, doing: str, *, quiet: bool) -> JobView:
    """``job`` once it is done; a terminal shows meanwhile what is being done."""
    with working(doing, quiet=quiet):
        return client.wait(job)


@contextmanager
def working(doing: str, *, quiet: bool) -> Iterator[None]:
    """A terminal shows meanwhile what is being done."""
    with Console(stderr=True, quiet=quiet).status(f"{doing} …"):
        yield


def until(client: Client, name: str, stands: Callable[[StudyDetail], bool]) -> StudyDetail:
    """The study called ``name`` once it ``stands`` as it should."""
    while not stands(found := client.study(name)):
        time.sleep(_GLANCE_S)
    return found


@contextmanager
def progress(description: str, *, quiet: bool) -> Iterator[Progress]:
    """What to tell how many bytes of how many have been passed on; a terminal shows it."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with ProgressBar(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
