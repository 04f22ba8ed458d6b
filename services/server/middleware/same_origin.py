"""Origins: pages of other sites, also those at other ports of this machine, can change nothing here."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from convscout.services.http.problems import HTTPProblem
from convscout.services.server.auth.requests import by_https, changes, header, split_host
from convscout.services.server.errors import answer

_PORTS = {"http": 80, "https": 443}
_OURS = ("same-origin", "none")  # none: a person typed the address


class Origins:
    """Refuses what changes something and comes from elsewhere: by Origin, else by Sec-Fetch-Site and Referer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and changes(scope) and (field := _foreign(scope)):
            refusal = HTTPProblem.of(
                HTTPStatus.FORBIDDEN,
                field,
                header(scope, field.lower().encode()),
                "must be this service: a page of another site may not do that",
            )
            await answer(scope, refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def comes_from_here(scope: Scope) -> bool:
    """Whether a browser says that a page of ours asks; a program says nothing, and then it is False."""
    return _is_ours(header(scope, b"origin"), scope) or header(scope, b"sec-fetch-site") == "same-origin"


def _foreign(scope: Scope) -> str:
    """The header that tells of another site, if one does."""
    if origin := header(scope, b"origin"):
        return "" if _is_ours(origin, scope) else "Origin"
    if header(scope, b"sec-fetch-site") not in ("", *_OURS):
        return "Sec-Fetch-Site"
    referer = header(scope, b"referer")
    return "Referer" if referer and not _is_ours(referer, scope) else ""


def _is_ours(url: str, scope: Scope) -> bool:
    """Whether ``url`` leads to the host and port that this request was sent to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    said, ours = split_host(parts.netloc), split_host(header(scope, b"host"))
    if said is None or ours is None or parts.scheme not in _PORTS:
        return False
    usual = _PORTS[parts.scheme]
    if parts.scheme == "http" and by_https(scope):
        return False  # somebody on the network may have written that page
    return said[0] == ours[0] and (said[1] or usual) == (ours[1] or usual)
