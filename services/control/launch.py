"""What the process of a job runs: the command, with its lock held, and a note of how it ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from services.cli.entry import main
from services.cli.swift_end import run_and_end
from services.control.jobs import CANCELLED, read_job
from services.locked_file import locked_file


def launch(path: Path) -> None:
    """Run the job whose directory is ``path``, unless that is being done already."""
    job = read_job(path)
    with locked_file(path / "lock") as locked:
        if locked is None or job.exit_code is not None:
            return
        _, file = locked
        file.write(f"{os.getpid()}\n")
        file.flush()
        if job.stopping:  # before there was a process to ask
            job.end(CANCELLED)
            return
        code = 1
        try:
            main(job.arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            job.end(code)


if __name__ == "__main__":
    run_and_end(lambda: launch(Path(sys.argv[1])))
