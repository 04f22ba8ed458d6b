"""The processes that a test has left, found by what they were told and where they work."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil


def processes_of(root: Path) -> list[psutil.Process]:
    """The other processes that were told to work below ``root``, or do."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or ()), process.info["cwd"] or ""]
        if process.pid != os.getpid() and any(str(root) in word for word in words):
            found.append(process)
    return found


def kill_all_of(root: Path) -> None:
    """Kill the processes of ``root`` and their children; wait until they are gone.

    Whoever begins more of them, as the service begins the next of its queue, must have ended before.
    """
    found = set[psutil.Process]()
    for process in processes_of(root):
        found.add(process)
        with suppress(psutil.NoSuchProcess):
            found.update(process.children(recursive=True))
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, left = psutil.wait_procs(found, timeout=200)
    assert not left
