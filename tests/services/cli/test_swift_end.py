"""A process that ends at once ends as it would have ended anyway."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = """
import atexit, sys, threading, time
from convscout.services.cli.swift_end import run_and_end

class Torn:
    def __del__(self):
        print("taken apart")

kept = Torn()

def command():
    atexit.register(print, "handler")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("command")
    {ending}

run_and_end(command)
"""


def ended(ending: str) -> tuple[int, list[str], str]:
    """Exit code, lines and complaints of a process whose command ends so."""
    process = subprocess.run(
        [sys.executable, "-c", LATER.format(ending=ending)], capture_output=True, text=True, timeout=60
    )
    return process.returncode, process.stdout.splitlines(), process.stderr


@pytest.mark.parametrize(
    ("ending", "code"),
    [("pass", 0), ("sys.exit(0)", 0), ("sys.exit()", 0), ("sys.exit(130)", 130), ("sys.exit('no')", 1)],
)
def test_the_exit_code_is_that_of_the_command_and_nothing_that_ends_with_it_is_lost(
    ending: str, code: int
) -> None:
    assert ended(ending)[:2] == (code, ["command", "thread", "handler"])


def test_an_error_is_shown() -> None:
    code, lines, complaints = ended("raise RuntimeError('unforeseen')")
    assert (code, lines) == (1, ["command", "thread", "handler"]) and "unforeseen" in complaints


def test_a_reader_that_is_gone_does_not_matter() -> None:
    assert ended("import os; os.close(1)")[0] == 0
