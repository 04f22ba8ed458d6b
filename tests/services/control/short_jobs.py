"""Jobs of a control plane whose studies end fast: ``with short_jobs():``, or run as the process of one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from services.control.launch import launch
from tests.services.studies import bundle_alone


@contextmanager
def short_jobs() -> Iterator[None]:
    """Within, jobs run as within ``bundle_alone``, which holds here, too, for whoever checks what they left."""
    with bundle_alone(), patch("services.control.jobs.subprocess", _Short):
        yield


class _Short:
    """What the module of jobs uses of ``subprocess``."""

    DEVNULL = subprocess.DEVNULL

    @staticmethod
    def run(command: Sequence[str], **options: Any) -> object:
        return subprocess.run(
            [__name__ if word == launch.__module__ else word for word in command], **options
        )


if __name__ == "__main__":
    with bundle_alone():
        launch(Path(sys.argv[1]))
