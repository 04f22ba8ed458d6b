"""What is said of a process that could say nothing itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.places import ROOT

PROGRAM = """
import os, signal, sys
from convscout.services.system.crash_notice import last_words
with last_words("it's \\"gone\\" %s", "convscout resume tiny"):
    print("begun", flush=True)
    {end}
"""


def told(end: str) -> tuple[int, str]:
    """The exit code of a program that does ``end`` amid it all, and what stood on standard error at last."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )  # which waits until nobody holds standard error any more
    assert ended.stdout == "begun\n"
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(("end", "code"), [("os.kill(os.getpid(), signal.SIGKILL)", -9), ("os._exit(1)", 1)])
def test_of_what_was_killed_the_next_command_is_told(end: str, code: int) -> None:
    assert told(end) == (code, 'error: it\'s "gone" %s\nnext: convscout resume tiny\n')


@pytest.mark.parametrize(("end", "code"), [("pass", 0), ("sys.exit(3)", 3)])
def test_who_can_speak_for_himself_does(end: str, code: int) -> None:
    assert told(end) == (code, "")
