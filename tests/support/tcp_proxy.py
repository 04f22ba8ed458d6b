"""A TCP proxy on the loopback interface that can lose one answer of the server behind it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

_CHUNK = 65_536


class Proxy:
    """Forwards to ``port``. When ``loses`` is set, it passes on a request with those bytes, but not the answer.

    The connection is cut once the server has answered.
    """

    def __init__(self, port: int) -> None:
        self.loses = b""
        self.lost = 0
        self._behind = port
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut every connection; new ones are taken."""
        for each in self._sockets:
            _end(each)

    def close(self) -> None:
        """Cut every connection, and take no more."""
        _end(self._listener)
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._behind))
                self._sockets += [client, server]
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if to_server and self.loses and self.loses in data:
                    self.loses = b""
                    source.shutdown(socket.SHUT_RDWR)  # nothing reaches the client any more
                    target.sendall(data)
                    self.lost += 1
                    return
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def _end(ended: socket.socket) -> None:
    with contextlib.suppress(OSError):  # cut already
        ended.shutdown(socket.SHUT_RDWR)
    ended.close()


@contextlib.contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """A proxy in front of ``port``, for the time of the block."""
    found = Proxy(port)
    try:
        yield found
    finally:
        found.close()
