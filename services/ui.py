"""The MLflow user interface over one home, as a child process that never outlives us."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import TracebackType
from typing import Self

from search_space.errors import ConvscoutError, UserError
from services.home import Home
from services.tracking.environment import SERVER
from services.tracking.store import TrackingStore

HOST = "127.0.0.1"
_READY_S = 60.0
_GRACE_S = 5.0
_LOG = "mlflow-ui.log"


class UiServer:
    """MLflow's server on the loopback interface, for the time of a ``with`` block.

    Entering waits until it answers. Raises ``UserError`` when the port is taken and
    ``ConvscoutError`` when the server does not come up.
    """

    def __init__(self, home: Home, *, port: int = 5000) -> None:
        self._home = home
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._experiment_id = ""

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://{HOST}:{self._port}"

    @property
    def page(self) -> str:
        """The page of all studies' runs, in the layout for trained models."""
        return f"{self.url}/#/experiments/{self._experiment_id}/runs?workflowType=machine_learning"

    def __enter__(self) -> Self:
        _check_free(self._port)
        store = TrackingStore(uri=self._home.tracking_uri, artifacts=self._home.artifacts)
        self._experiment_id = store.experiment_id(
            store.client()
        )  # before the server, which would race us for it
        with (self._home.root / _LOG).open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                env={**os.environ, **SERVER},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own group, so that all of it can be stopped together
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def wait(self) -> None:
        """Serve until the server ends by itself or the person presses Ctrl-C."""
        assert self._process is not None
        try:
            self._process.wait()
        except KeyboardInterrupt:
            return
        raise ConvscoutError(f"the MLflow server ended by itself; see {self._home.root / _LOG}")

    def _command(self) -> list[str]:
        options = {
            "--host": HOST,
            "--port": str(self._port),
            "--workers": "1",
            "--backend-store-uri": self._home.tracking_uri,
            "--default-artifact-root": self._home.artifacts.as_uri(),
        }
        flat = [word for pair in options.items() for word in pair]
        return [sys.executable, "-m", "mlflow", "server", *flat]

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise ConvscoutError(f"the MLflow server did not start; see {self._home.root / _LOG}")

    def _stop(self) -> None:
        if self._process is None:
            return
        for stop in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, stop)
                self._process.wait(_GRACE_S)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()


def open_ui(home: Home, *, port: int = 5000) -> None:
    """Serve the MLflow user interface of ``home`` until Ctrl-C, saying where it is once it answers."""
    with UiServer(home, port=port) as server:
        print(f"MLflow shows {home.root} at {server.page}  (Ctrl-C stops it)", flush=True)
        server.wait()


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port} is taken by another program; choose a free one with --port",
                next_command=f"convscout ui --port {port + 1}",
            ) from error
