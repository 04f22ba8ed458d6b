"""Sessions of browsers: a signed cookie, made from the token, so that it outlives a restart and dies with the token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Protocol

from itsdangerous import BadSignature, TimestampSigner
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Scope

from convscout.services.server.auth.requests import by_https, header

LASTS_S = 12 * 3600
_ID_BYTES = 16


class Revocations(Protocol):
    """Remembers who signed out, for longer than this process lives."""

    def revoke(self, session: str) -> None:
        """The session whose id this is has ended."""

    def is_revoked(self, session: str) -> bool:
        """Whether it has ended."""


@dataclass(frozen=True)
class Session:
    """``id`` says nothing about the token; ``csrf`` is known to the pages of this session alone."""

    id: str
    csrf: str = field(repr=False)


class Sessions:
    """Begins, recognises and ends sessions of those who knew ``token``."""

    def __init__(self, token: str, revocations: Revocations) -> None:
        self._revocations = revocations
        self._csrf_key = _derive(token, "csrf")
        self._signer = TimestampSigner(
            _derive(token, "session"),
            salt="convscout.session",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )
        # cookies know no ports: two services on one machine would overwrite each other's
        self.cookie = f"convscout_{_derive(token, 'cookie').hex()[:8]}"

    def begin(self, scope: Scope, answer: Response) -> Session:
        """A new session, whose cookie goes with ``answer``."""
        session = self._session(secrets.token_urlsafe(_ID_BYTES))
        answer.set_cookie(
            self.cookie,
            self._signer.sign(session.id).decode(),
            max_age=LASTS_S,
            path="/",
            secure=by_https(scope),
            httponly=True,
            samesite="strict",
        )
        return session

    def of(self, scope: Scope) -> Session | None:
        """The session whose cookie comes with a request, if it is whole, young enough and not signed out."""
        # as browsers do it: what other services on this machine set in other cookies spoils none of ours
        signed = cookie_parser(header(scope, b"cookie")).get(self.cookie, "")
        try:
            found = self._signer.unsign(signed, max_age=LASTS_S).decode()
        except (BadSignature, UnicodeError):
            return None
        return None if self._revocations.is_revoked(found) else self._session(found)

    def end(self, session: Session, scope: Scope, answer: Response) -> None:
        """Sign out: the cookie is good for nothing any more, and ``answer`` takes it away."""
        self._revocations.revoke(session.id)
        answer.delete_cookie(self.cookie, path="/", secure=by_https(scope), httponly=True, samesite="strict")

    def _session(self, identity: str) -> Session:
        return Session(identity, hmac.new(self._csrf_key, identity.encode(), hashlib.sha256).hexdigest())


def _derive(token: str, purpose: str) -> bytes:
    return hmac.new(token.encode(), f"convscout {purpose}".encode(), hashlib.sha256).digest()
