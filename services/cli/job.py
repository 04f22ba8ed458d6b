"""What the process of a job runs: the command, with its lock held, and a note of how it ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from convscout.services.cli.entry import End, perform, tell
from convscout.services.cli.swift_end import run_and_end
from convscout.services.control.jobs import CANCELLED, read_job
from convscout.services.system.locks import lock_file


def launch(path: Path) -> None:
    """Run the job whose directory is ``path``, unless that is being done already."""
    job = read_job(path)
    with lock_file(path / "lock") as locked:
        if locked is None or job.exit_code is not None:
            return
        _, file = locked
        file.write(f"{os.getpid()}\n")
        file.flush()
        if job.stopping:  # before there was a process to ask
            job.end(CANCELLED)
            return
        end = End(code=1)
        try:
            end = perform(job.arguments)
            tell(end)
        finally:
            job.end(end.code, end.cause)


if __name__ == "__main__":
    run_and_end(lambda: launch(Path(sys.argv[1])))
