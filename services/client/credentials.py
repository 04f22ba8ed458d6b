"""Who asks: where a client finds the token of a service, and to which addresses it may be sent."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

from convscout.search_space.errors import ConfigError, Problem
from convscout.services.config.home import Home
from convscout.services.system.locks import is_free
from convscout.services.system.loopback import is_loopback
from convscout.services.system.private_files import TOKEN_VARIABLE, read_token


def base_url(url: str) -> httpx.URL:
    """The address of a service as a person wrote it. Raises ``ConfigError`` for what is none."""
    try:
        parsed = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _wrong(url, "must be the address of a service, such as http://127.0.0.1:8765")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise _wrong(f"{parsed.scheme}://{parsed.host}", "must hold no password, no ? and no #")
    return parsed


def refuse_plain(url: httpx.URL, *, insecure: bool) -> None:
    """Raise ``ConfigError`` where others on the way could read a token, unless that is wanted."""
    if url.scheme == "http" and not is_loopback(url.host) and not insecure:
        rule = (
            "must begin with https://, as whoever is on the way could read the token; --insecure (in Python "
            "insecure=True) sends it nevertheless"
        )
        raise _wrong(str(url), rule)


def find_token(url: httpx.URL, token: str | None, token_file: Path | None, home: Home) -> str:
    """The token for ``url``: the given one, or that of a file, the environment, or the service of ``home``; or none.

    The home's own is meant for nobody but its service, so that must hold its lock and listen at the port of ``url``.
    Raises ``ConfigError`` for a file that others may read.
    """
    if token:
        return token
    if token_file or os.environ.get(TOKEN_VARIABLE):
        return read_token(token_file)
    kept = home.root / "service" / "token"
    if is_loopback(url.host) and kept.exists() and _port_of_service(home) == _port(url):
        return read_token(kept)
    return ""


def _port_of_service(home: Home) -> int | None:
    """Where the service of ``home`` listens, as it has noted in its lock; None where none runs."""
    lock = home.root / "service" / "service.lock"
    if not lock.exists() or is_free(lock):
        return None
    _, _, address = lock.read_text(encoding="utf-8").strip().partition(" ")
    return _port(httpx.URL(address)) if address else None


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _wrong(url: str, rule: str) -> ConfigError:
    return ConfigError([Problem(field="server", value=url, rule=rule)])
