"""What a server logs is what a person reads on its standard error."""

from __future__ import annotations

import subprocess
import sys

SERVER = """
import os, signal, threading, urllib.error, urllib.request
from convscout.services.http.measured import Measured
from convscout.services.http.metrics import RequestMetrics
from convscout.services.http.server import listening, run

async def broken(scope, receive, send):
    raise RuntimeError("a bug")

with listening("127.0.0.1", 0, "") as (listener, address):
    def ask():
        try:
            urllib.request.urlopen(address)
        except urllib.error.HTTPError as error:
            print(error.status)
        os.kill(os.getpid(), signal.SIGTERM)

    run(Measured(broken, RequestMetrics()), listener, threading.Thread(target=ask).start)
"""


def test_an_unexpected_error_is_one_line_that_begins_with_error() -> None:
    done = subprocess.run([sys.executable, "-c", SERVER], capture_output=True, text=True, check=True)
    assert done.stdout == "500\n"
    assert done.stderr == "error: other: RuntimeError: a bug\n"
