"""A proxy in front of a real HTTP server that lets some requests fail as networks and servers do."""

from __future__ import annotations

import http.client
import math
import random
import socket
import struct
import threading
import time
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"
_CONNECTION = frozenset({"connection", "host", "keep-alive", "transfer-encoding", "content-length"})


class Fault(StrEnum):
    """What becomes of a request."""

    NONE = "none"
    DELAY = "delay"  # it is answered, late
    ERROR = "error"  # the server says 500 and does nothing
    RESET = "reset"  # the connection breaks before the server hears of it
    LOST_ANSWER = "lost answer"  # the server does it, and the connection breaks before it can say so


class FaultyProxy:
    """Passes requests on to ``port``; a ``share`` of them, drawn by ``seed``, meets ``fault``.

    Both may be changed at any time. ``struck`` counts the requests that met it, and no more than ``strikes`` more will.
    """

    def __init__(self, port: int, *, delay_s: float = 0.0, seed: int = 0) -> None:
        self.fault, self.share, self.struck, self.strikes = Fault.NONE, 0.0, 0, math.inf
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fault = proxy._next()
                if fault is Fault.DELAY:
                    time.sleep(delay_s)
                if fault is Fault.ERROR:
                    self.send_error(500)
                elif fault is Fault.RESET:
                    self._reset()
                else:
                    status, headers, content = self._ask(port, body)
                    if fault is Fault.LOST_ANSWER:
                        self._reset()
                    else:
                        self._answer(status, headers, content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - as http.server wants them

            def _ask(self, port: int, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                upstream = http.client.HTTPConnection(HOST, port, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _CONNECTION}
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                found = answer.status, answer.getheaders(), answer.read()
                upstream.close()
                return found

            def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in _CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _reset(self) -> None:
                # closing with a linger of zero sends a reset instead of an end
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: failures are the purpose here."""

        self._server = _QuietServer((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def lose_one_answer(self) -> None:
        """Let the next request be done, and nobody hear of it."""
        self.fault, self.share, self.strikes = Fault.LOST_ANSWER, 1.0, 1

    def heal(self) -> None:
        """From now on let every request through."""
        self.fault = Fault.NONE

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _next(self) -> Fault:
        with self._lock:
            if self.fault is Fault.NONE or self.strikes < 1 or self._random.random() >= self.share:
                return Fault.NONE
            self.struck += 1
            self.strikes -= 1
            return self.fault


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients that give up are the purpose here."""
