"""KeptUi: the MLflow server behind the service, started when somebody first asks for it, and again if it died."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import httpx

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.tracking.server import MlflowServer
from convscout.services.tracking.urls import MLFLOW

ORIGIN = "http://localhost"
"""What MLflow hears itself called; it refuses requests under any other name."""
_HOST = ORIGIN.removeprefix("http://")
_UNUSED = {"--host": _HOST, "--port": "1"}  # the socket takes their place
_PAUSE_S = 5.0  # between two attempts, of which the first failed
_TIMES = httpx.Timeout(10.0, read=60.0)  # a busy server takes seconds for a page of runs
_CONNECTIONS = httpx.Limits(max_connections=32)


class KeptUi:
    """MLflow over ``home`` at a socket of its own, below ``/mlflow``.

    The socket lies in a directory that this user alone may enter, not at a port: whoever reached that would pass the
    service's token by. To be called from one event loop.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._server: MlflowServer | None = None
        self._client: httpx.AsyncClient | None = None
        self._starting: asyncio.Task[None] | None = None
        self._failure: tuple[float, ConvscoutError] | None = None  # when, and why
        self._closing = False

    async def client(self, patience_s: float) -> httpx.AsyncClient | None:
        """Who asks it; None where it does not answer within ``patience_s``, beyond which it goes on starting.

        Raises ``ConvscoutError`` when it could not be started.
        """
        if self._client is not None and self._server is not None and self._server.alive:
            return self._client
        if self._starting is None:
            self._refuse_hurry()
            self._starting = asyncio.create_task(self._start())
        starting = self._starting
        await asyncio.wait({starting}, timeout=patience_s)
        if not starting.done():
            return None
        if self._failure:
            raise self._failure[1]
        return self._client

    async def close(self) -> None:
        """End it."""
        self._closing = True
        if self._starting is not None:
            await asyncio.wait({self._starting})
        await self._end()

    def _refuse_hurry(self) -> None:
        if self._closing:
            raise ConvscoutError("the service is ending")
        if self._failure and time.monotonic() - self._failure[0] < _PAUSE_S:
            raise self._failure[1]

    async def _start(self) -> None:
        try:
            await self._end()  # whatever is left of the one before
            socket = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="convscout-mlflow-")) / "socket"
            self._server = _server(self._home, socket)
            await asyncio.to_thread(self._server.start, lambda: self._closing)
            transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=_CONNECTIONS)
            self._client = httpx.AsyncClient(base_url=ORIGIN, transport=transport, timeout=_TIMES)
            self._failure = None
        except ConvscoutError as error:
            self._failure = time.monotonic(), error
        except Exception as error:  # a database in the way can fail in many
            text = f"the MLflow server cannot be started: {type(error).__name__}: {error}"
            self._failure = time.monotonic(), ConvscoutError(text)
        finally:
            self._starting = None

    async def _end(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)


def _server(home: Home, socket: Path) -> MlflowServer:
    options = {
        **_UNUSED,
        "--static-prefix": MLFLOW,
        # without a log of accesses, which would grow for as long as a browser looks at a study
        "--uvicorn-opts": f"--uds {socket} --no-access-log",
    }
    # nothing that switches off one of MLflow's own guards or leads it elsewhere
    inherited = {name: text for name, text in os.environ.items() if "MLFLOW_" not in name}
    return MlflowServer(
        home,
        options,
        answers=lambda: _answers(socket),
        environment=inherited | {"MLFLOW_SERVER_ALLOWED_HOSTS": _HOST},
        log=home.root / "service" / "mlflow.log",
        directory=socket.parent,
    )


def _answers(socket: Path) -> bool:
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=2) as client:
            return client.get(f"{ORIGIN}{MLFLOW}/health").is_success
    except httpx.TransportError:
        return False
