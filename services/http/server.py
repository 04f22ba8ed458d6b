"""Running a server: an address, a token where others can reach it, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from convscout.search_space.errors import ConfigError, Problem, UserError
from convscout.services.system.loopback import is_loopback
from convscout.services.system.private_files import TOKEN_VARIABLE

_GRACE_S = 10  # for what was begun before the end
_HEAD_BYTES = 65_536
_SILENCE_S = 15.0  # after which a connection that asks nothing is closed


@contextmanager
def listening(host: str, port: int, token: str) -> Iterator[tuple[socket.socket, str]]:
    """A socket that is bound to ``host`` and ``port``, and its address for a person.

    Raises ``ConfigError`` for a host beyond this machine without a ``token``, ``UserError`` where it cannot listen.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        rule = "must be the name or the address of this machine, such as 127.0.0.1 or 0.0.0.0"
        raise ConfigError([Problem(field="host", value=host, rule=rule)]) from None
    family, kind, protocol, _, address = found[0]
    if not (token or is_loopback(str(address[0]))):
        rule = f"others can reach it, so it needs a token: give --token-file FILE or set {TOKEN_VARIABLE}"
        raise ConfigError([Problem(field="host", value=host, rule=rule)])
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(socket.SOMAXCONN)
        except OSError as error:
            raise UserError(
                f"cannot listen at port {port} of {host}: {error.strerror}; choose another with --port or --host"
            ) from error
        yield listener, _url(listener.getsockname())


def run(app: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve ``app`` at ``listener`` until SIGTERM or Ctrl-C; ``ready`` is called once it answers."""
    _log_to_stderr()
    uvloop.run(make_server(app, ready).serve(sockets=[listener]))


def _log_to_stderr() -> None:
    """Let what our modules log be lines of the standard error that begin with its level, as in ``error: …``."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Line())
    ours = logging.getLogger("convscout")
    ours.handlers = [handler]  # also where it runs a second time
    ours.propagate = False  # a library that configures the root would write each line again


class _Line(logging.Formatter):
    """The level in lower case, as commands write theirs, and the message."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {super().format(record)}"


def make_server(app: ASGIApp, ready: Callable[[], None]) -> uvicorn.Server:
    """The server of ``app``, which calls ``ready`` once it answers."""
    # clients are told what is wrong with a form
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        log_config=None,
        log_level="critical",  # errors of requests are told in one line by our own middleware
        access_log=False,
        server_header=False,
        proxy_headers=False,  # anybody on this machine could claim to be a proxy, and to ask for anybody
        timeout_graceful_shutdown=_GRACE_S,
    )
    return _Server(config, ready)


class _Server(uvicorn.Server):
    """Says when it listens, and returns after SIGTERM or Ctrl-C instead of dying of it; the second ends it at once."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        previous = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1 with two limits that uvicorn lacks: on the head of a request, and on silence.

    A connection is closed on which nothing is asked, not even in parts, and one whose head or trailer never ends.
    """

    _unparsed = 0  # bytes in a row that were neither the end of a head nor part of a body
    _parsed = False

    def data_received(self, data: bytes) -> None:
        self._parsed = False
        super().data_received(data)
        self._unparsed = 0 if self._parsed else self._unparsed + len(data)
        if self._unparsed > _HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of a request must have at most {_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        self._parsed = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._parsed = True
        super().on_body(body)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(_SILENCE_S, self._look, self.cycle)

    def _look(self, before: RequestResponseCycle | None) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if self.transport.is_closing():
            return
        if idle and self.cycle is before:
            self.transport.close()
        else:
            self.loop.call_later(_SILENCE_S, self._look, self.cycle)


def _url(name: Any) -> str:
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
