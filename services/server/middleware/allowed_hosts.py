"""Hosts: only names of this service are answered, so that no foreign name can be made to point here (DNS rebinding)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from convscout.services.http.problems import HTTPProblem
from convscout.services.server.auth.requests import header, split_host
from convscout.services.server.errors import answer


class Hosts:
    """Lets pass requests to this machine's own names, to the address they arrived at, and to ``allowed`` names."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = {"localhost", *(name.lower().strip("[]") for name in allowed)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._knows(scope):
            refusal = HTTPProblem.of(
                HTTPStatus.MISDIRECTED_REQUEST,
                "Host",
                header(scope, b"host"),
                "must be a name of this service; convscout serve --allow-host NAME adds one",
            )
            await answer(scope, refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        asked = split_host(header(scope, b"host"))
        if asked is None:
            return False
        name = asked[0]
        return name in self._allowed or _is_ours(name, scope)


def _is_ours(name: str, scope: Scope) -> bool:
    """Whether ``name`` is an address of this machine, or the one at which the request arrived."""
    try:
        found = ipaddress.ip_address(name)
    except ValueError:
        return False
    arrived = scope.get("server")
    return found.is_loopback or (arrived is not None and name == arrived[0])
