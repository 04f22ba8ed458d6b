"""The MLflow user interface over one home, for a person on this machine."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from types import TracebackType
from typing import Self

from convscout.search_space.errors import UserError
from convscout.services.config.home import Home
from convscout.services.tracking.server import MlflowServer

HOST = "127.0.0.1"
_LOG = "mlflow-ui.log"


class UiServer:
    """MLflow's server on the loopback interface, for the time of a ``with`` block.

    Entering waits until it answers. Raises ``UserError`` when the port is taken and
    ``ConvscoutError`` when the server does not come up.
    """

    def __init__(self, home: Home, *, port: int = 5000) -> None:
        self._port = port
        self._server = MlflowServer(
            home,
            {"--host": HOST, "--port": str(port)},
            answers=self._answers,
            environment=os.environ,
            log=home.root / _LOG,
        )

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://{HOST}:{self._port}"

    @property
    def page(self) -> str:
        """The page of all studies: each is an experiment."""
        return f"{self.url}/#/experiments?workflowType=machine_learning"

    def __enter__(self) -> Self:
        _check_free(self._port)
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def wait(self) -> None:
        """Serve until the server ends by itself or the person presses Ctrl-C."""
        try:
            self._server.wait()
        except KeyboardInterrupt:
            return

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


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
