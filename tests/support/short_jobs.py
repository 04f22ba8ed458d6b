"""Jobs of a control plane that begin at once, as ``with forked_jobs():``, and end fast, as ``with short_jobs():``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO
from unittest.mock import patch

from convscout.services.cli.job import launch
from convscout.services.cli.swift_end import run_and_end
from tests.support.forked import Forked
from tests.support.studies import bundle_alone


@contextmanager
def short_jobs() -> Iterator[None]:
    """Within, jobs are forked and run as within ``bundle_alone``, which holds here, too, for whoever checks them."""
    with bundle_alone(), patch("convscout.services.control.jobs.subprocess", _Forking(bundle_alone)):
        yield


@contextmanager
def forked_jobs() -> Iterator[None]:
    """Within, jobs are forked with all imports done, and otherwise as ever."""
    with patch("convscout.services.control.jobs.subprocess", _Forking(nullcontext)):
        yield


class _Forking:
    """What the module of jobs uses of ``subprocess``; jobs run within what ``around`` makes."""

    DEVNULL = subprocess.DEVNULL

    def __init__(self, around: Callable[[], AbstractContextManager[None]]) -> None:
        self._around = around

    def run(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
        **options: object,
    ) -> None:
        job = Path(command[-1])
        Forked(_launch, self._around, job, Path(stdout.name), log=Path(stderr.name), environment=dict(env))


def _launch(around: Callable[[], AbstractContextManager[None]], job: Path, output: Path) -> None:
    os.chdir(job)  # by which it is found when nobody may be left
    os.dup2(os.open(output, os.O_WRONLY), 1)
    with around():
        run_and_end(lambda: launch(job))
