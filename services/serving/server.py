"""Running the model server: an address, a token where others can reach it, and an orderly end."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from search_space.errors import ConfigError, Problem, UserError
from services.predict import load_model
from services.serving.app import make_app
from services.serving.limits import Batching, Limits

TOKEN_VARIABLE = "CONVSCOUT_TOKEN"
SHORTEST_TOKEN = 16  # characters
_GRACE_S = 10  # for what was begun before the end
_SILENCE_S = 15.0  # after which a connection that asks nothing is closed


def serve(
    directory: Path,
    *,
    host: str,
    port: int,
    token: str,
    limits: Limits,
    batching: Batching,
    told: Callable[[str], None],
) -> None:
    """Serve the export in ``directory`` until SIGTERM or Ctrl-C. ``told`` gets the address once it listens.

    Raises ``ConfigError`` for a host beyond this machine without a ``token``, ``UserError`` where it cannot listen,
    ``ExportError`` when the export is damaged.
    """
    logging.getLogger("python_multipart").setLevel(
        logging.CRITICAL
    )  # clients are told what is wrong with a form
    model = load_model(directory)
    with _listening(host, port, token) as (listener, address):
        config = uvicorn.Config(
            make_app(model, limits, batching, token),
            http=_Protocol,
            ws="none",
            log_config=None,
            log_level="critical",  # errors of requests are told in one line by our own middleware
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        server = _Server(config, lambda: told(address))
        asyncio.run(server.serve(sockets=[listener]))


def read_token(file: Path | None) -> str:
    """The token in ``file``, or in the environment, or none. Raises ``ConfigError`` for a short or unreadable one."""
    name = "token-file" if file else TOKEN_VARIABLE
    try:
        token = file.read_text(encoding="utf-8").strip() if file else os.environ.get(TOKEN_VARIABLE, "")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        rule = f"cannot be read: {reason}"
        raise ConfigError([Problem(field=name, value=str(file), rule=rule)]) from None
    if (file or token) and not (token.isascii() and token.isprintable() and len(token) >= SHORTEST_TOKEN):
        rule = f"must hold at least {SHORTEST_TOKEN} ASCII characters on one line, such as openssl rand -hex 32 makes"
        raise ConfigError([Problem(field=name, value=f"{len(token)} characters", rule=rule)])
    return token


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


class _Protocol(H11Protocol):
    """HTTP/1.1 that closes connections on which nothing is asked, not even in parts: uvicorn lets those be."""

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


@contextmanager
def _listening(host: str, port: int, token: str) -> Iterator[tuple[socket.socket, str]]:
    """A socket that is bound to ``host`` and ``port``, and its address for a person."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        rule = "must be the name or the address of this machine, such as 127.0.0.1 or 0.0.0.0"
        raise ConfigError([Problem(field="host", value=host, rule=rule)]) from None
    family, kind, protocol, _, address = found[0]
    if not (token or ipaddress.ip_address(address[0]).is_loopback):
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


def _url(name: Any) -> str:
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
