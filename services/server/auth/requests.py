"""What guards ask of a request: its headers, where it came from, whether it changes anything."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from starlette.types import Scope

API = "/api/"
HEALTH = "/api/v1/health"
SIGN_IN = "/sign-in"
STATIC = "/static/"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_REMEMBERED = 64  # of what comes again with every request; few, as clients choose how long a Host is
_NETWORK_BITS = 64  # of an IPv6 address; the rest is at the free choice of one client


def header(scope: Scope, name: bytes) -> str:
    """The first header called ``name``, which is in small letters; empty if there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


def changes(scope: Scope) -> bool:
    """Whether the method of a request may change something."""
    return scope["method"] not in _SAFE


def is_open(scope: Scope) -> bool:
    """Whether anybody may ask this: what a supervisor, a sign-in page and its looks need."""
    path: str = scope["path"]
    return path in (HEALTH, SIGN_IN) or path.startswith(STATIC)


def is_api(scope: Scope) -> bool:
    """Whether programs are meant to ask this, and not people."""
    return str(scope["path"]).startswith(API)


def by_https(scope: Scope) -> bool:
    """Whether the browser came by TLS, perhaps to a proxy before us; who lies about it only harms himself."""
    return scope["scheme"] == "https" or header(scope, b"x-forwarded-proto").lower() == "https"


@lru_cache(_REMEMBERED)
def split_host(text: str) -> tuple[str, int | None] | None:
    """The name and the port of ``NAME:PORT``, or None where that is no address; an IPv6 one is without brackets."""
    found = _HOST.fullmatch(text.lower())
    if not found:
        return None
    return found["name"].strip("[]").removesuffix("."), int(found["port"]) if found["port"] else None


def address(scope: Scope) -> str:
    """The address that a request came from, as the connection has it and not as headers claim."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def client(scope: Scope) -> str:
    """Whom limits count together: an IPv4 address, or the network of an IPv6 one."""
    return _network(address(scope))


@lru_cache(_REMEMBERED)
def _network(text: str) -> str:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(parsed, ipaddress.IPv6Address) and not parsed.is_loopback:
        return str(ipaddress.ip_network((parsed, _NETWORK_BITS), strict=False))
    return text
