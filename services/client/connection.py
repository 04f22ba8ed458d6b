"""Connection: requests to one service, sent again where that is harmless and the first try failed by chance."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeAlias

import httpx

from convscout.search_space.errors import ConvscoutError
from convscout.services.client.problems import error_of
from convscout.services.system.loopback import is_loopback

Body: TypeAlias = Callable[[], Iterator[bytes]]
"""Makes the content of a request, as often as it is sent."""

PATIENCE_S = 60.0
_TIMEOUT_S = 60.0
_CONNECT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_PASSING = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class Patience:
    """Pauses between tries, ``limit_s`` in all: they grow, by chance, so that clients do not come all at once."""

    def __init__(self, limit_s: float, longest_s: float = _LONGEST_PAUSE_S) -> None:
        self._limit_s = limit_s
        self._longest_s = longest_s
        self.refresh()

    def refresh(self) -> None:
        """Begin anew, as what was tried has succeeded."""
        self._give_up = time.monotonic() + self._limit_s
        self._pause_s = _FIRST_PAUSE_S

    def pause(self, wanted_s: float | None = None) -> bool:
        """Wait, if the time allows it, ``wanted_s`` seconds if the service said so; returns whether to try again."""
        pause_s = self._pause_s * random.uniform(0.5, 1.0) if wanted_s is None else wanted_s
        if time.monotonic() + pause_s > self._give_up:
            return False
        time.sleep(pause_s)
        self._pause_s = min(2 * self._pause_s, self._longest_s)
        return True


class Connection:
    """To the service at ``url``. Usable from several threads; close it when it is no longer needed.

    What may be repeated is sent again, for ``patience_s`` seconds, when the connection fails or the service says that
    it cannot answer now. A service that has never answered is not waited for.
    """

    def __init__(self, url: httpx.URL, token: str, patience_s: float = PATIENCE_S) -> None:
        self.url = url
        self.patience_s = patience_s
        self._reached = False
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_S),
            trust_env=not is_loopback(url.host),  # a proxy would only see the token
        )

    def close(self) -> None:
        """End all connections."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        repeat: bool,
        body: Body | None = None,
        done: HTTPStatus | None = None,
        headers: Mapping[str, str] | None = None,
        **parts: Any,
    ) -> httpx.Response:
        """The answer to a request, read whole. ``repeat`` says that to do it twice is as good as once.

        ``done`` is the refusal that shows, once an answer was lost, that the request was done; it is then returned.
        ``parts`` are those of ``httpx.Client.build_request``. Raises ``ConvscoutError`` and its kinds.
        """
        patience, lost = Patience(self.patience_s), False
        while True:
            content = body() if body else None
            request = self._http.build_request(
                method, f"/api/v1{path}", content=content, headers=headers, **parts
            )
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                if not (repeat and self._may_pass(error) and patience.pause()):
                    raise self._unreachable(error) from None
                lost = lost or not isinstance(error, httpx.ConnectError)
                continue
            self._reached = True
            if response.is_success or (lost and response.status_code == done):
                return response
            if not (repeat and response.status_code in _PASSING and patience.pause(_retry_after(response))):
                raise error_of(response)

    @contextmanager
    def stream(
        self, path: str, *, read_s: float = _TIMEOUT_S, headers: Mapping[str, str] | None = None, **parts: Any
    ) -> Iterator[httpx.Response]:
        """The answer to a GET while it comes, which may be silent for ``read_s`` seconds; tried once.

        Raises ``httpx.TransportError`` when the connection fails, ``Busy`` when it is worth trying again, and
        ``ConvscoutError`` for any other refusal.
        """
        timeout = httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_S, read=read_s)
        with self._http.stream(
            "GET", f"/api/v1{path}", timeout=timeout, headers=dict(headers or {}), **parts
        ) as response:
            self._reached = True
            if not response.is_success:
                response.read()
                if response.status_code in _PASSING:
                    raise Busy(response)
                raise error_of(response)
            yield response

    def again(self, error: httpx.TransportError | Busy, patience: Patience) -> None:
        """Wait until a stream that ended with ``error`` is worth another try, or raise ``ConvscoutError``."""
        if isinstance(error, Busy):
            if not patience.pause(error.wait_s):
                raise error_of(error.response)
        elif not (self._may_pass(error) and patience.pause()):
            raise self._unreachable(error)

    def _may_pass(self, error: httpx.TransportError) -> bool:
        return self._reached or not isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol)

    def _unreachable(self, error: httpx.TransportError) -> ConvscoutError:
        reason = str(error) or type(error).__name__
        return ConvscoutError(
            f"no service answers at {self.url} ({reason}); is it running?", next_command="convscout serve"
        )


class Busy(Exception):
    """The service cannot answer now; ``wait_s`` is in how many seconds it may, if it said so."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response
        self.wait_s = _retry_after(response)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds until it is worth asking again, where the service says so."""
    said = response.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else None
