"""Where a ledger can lie besides its home: the URL of a PostgreSQL database, and how to keep its password secret."""

from __future__ import annotations

import re

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from convscout.search_space.errors import ConfigError, Problem

DRIVER = "postgresql+psycopg"
_RULE = f"must be {DRIVER}://USER@HOST:PORT/DATABASE (without --storage the ledger is a file in the home)"
_SECRET = re.compile("password", re.IGNORECASE)  # libpq takes them as parameters of a URL, too


def parse_storage(text: str) -> str:
    """``text`` in one spelling; raises ``ConfigError`` when it is not the URL of a PostgreSQL database."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _refusal(text) from None
    if url.drivername not in (DRIVER, "postgresql", "postgres") or not url.database:
        raise _refusal(text)
    return url.set(drivername=DRIVER).render_as_string(hide_password=False)


def without_password(text: str) -> str:
    """The URL ``text`` as it may be stored and shown."""
    url = make_url(text)
    secrets = [name for name in url.query if _SECRET.search(name)]
    return _bare(url).difference_update_query(secrets).render_as_string(hide_password=False)


def for_libpq(text: str) -> str:
    """The URL ``text`` as ``psql`` and ``pg_dump`` take it, without its password."""
    return without_password(text).replace(f"{DRIVER}://", "postgresql://", 1)


def hide_passwords(text: str) -> str:
    """``text`` in which the passwords of URLs, and of their parameters, are stars, however broken the URLs are."""
    starred = re.sub(r"(://[^:/@\s]*):[^/\s]*@", r"\1:***@", text)
    return re.sub(r"(?i)([?&][^=&\s]*password[^=&\s]*)=[^&\s]*", r"\1=***", starred)


def _bare(url: URL) -> URL:
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, url.query)


def _refusal(text: str) -> ConfigError:
    return ConfigError([Problem(field="--storage", value=hide_passwords(text), rule=_RULE)])
