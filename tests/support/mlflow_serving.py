"""``mlflow models serve`` as a process of its own, for tests."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

PATIENCE_S = 200.0


@contextmanager
def served(model: str, tracking_uri: str, directory: Path) -> Iterator[str]:
    """HOST:PORT of a server of ``model`` in this environment; its words go to ``directory``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where MLflow looks for uvicorn
    log = directory / "serve.log"
    with (
        log.open("w") as words,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", address.partition(":")[2]],
            cwd=directory,
            env={**os.environ, "MLFLOW_TRACKING_URI": tracking_uri, "PYTHONPATH": "", "PATH": path},
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait(process, address, log)
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def asked(address: str, images: np.ndarray) -> list[dict[str, float]]:
    """What the server at ``address`` says of ``images`` (N, H, W, C): for each, the probability by class."""
    answer: Any = _request(address, "POST", "/invocations", json.dumps({"inputs": images.tolist()}))
    return list(json.loads(answer)["predictions"])


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        try:
            _request(address, "GET", "/ping")
            return
        except OSError:
            time.sleep(0.2)


def _request(address: str, method: str, path: str, content: str | None = None) -> bytes:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        return said
    finally:
        connection.close()
