"""The end of a process: at once, without taking apart what the system frees anyway.

With torch, Ray and MLflow loaded Python needs seconds for that, in which a person waits for the prompt.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress


def run_and_end(command: Callable[[], None]) -> None:
    """Run ``command``, which may raise ``SystemExit``, in a process that ends as soon as its exit handlers have run.

    Threads that are no daemons are waited for, and handlers run, as ever: what is registered first runs last.
    """
    code = 1  # of an exception, which Python shows before it calls handlers

    def end() -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
                stream.flush()
        os._exit(code)

    atexit.register(end)
    try:
        command()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        raise
