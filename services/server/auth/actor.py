"""Actor: who asks, once that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from starlette.types import Scope

from convscout.services.server.auth.sessions import Session

NOBODY = "nobody"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """``name`` is for the audit log: ``token``, or ``session`` and the beginning of its id.

    ``session`` is that of a browser; a program that sends the token has none.
    """

    name: str
    session: Session | None = None

    @classmethod
    def of(cls, session: Session) -> Actor:
        """Who signed in with a browser."""
        return cls(name=f"session {session.id[:8]}", session=session)


def actor_of(scope: Scope) -> Actor | None:
    """Who asks, or None where nobody said so or it does not matter."""
    return cast("Actor | None", scope.get("state", {}).get("actor"))


def csrf_of(scope: Scope) -> str:
    """What a page has to send back with whatever changes something; empty outside of a session."""
    actor = actor_of(scope)
    return actor.session.csrf if actor and actor.session else ""
