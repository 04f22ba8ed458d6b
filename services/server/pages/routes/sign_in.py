"""Signing in with the token, and out again."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Form, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from convscout.services.http.problems import HTTPProblem
from convscout.services.server.auth.actor import Actor, actor_of
from convscout.services.server.auth.requests import SIGN_IN, client
from convscout.services.server.errors import answer
from convscout.services.server.middleware.authentication import Credentials, refuse_hasty
from convscout.services.server.rendering import render

router = APIRouter(include_in_schema=False)
# a path of ours: browsers read // and /\ as the beginning of a host, and skip control characters
_LOCAL = re.compile(r"/(?![/\\])[\x21-\x7e]*")

Token = Annotated[str, Form()]
Next = Annotated[str, Form()]


@router.get(SIGN_IN)
async def ask(request: Request, next: Annotated[str, Query()] = "/") -> Response:
    """The page that asks for the token. Its script takes one from behind the # of the address."""
    return render(request.scope, "sign_in.html", next=local(next), wrong=False)


@router.post(SIGN_IN)
async def sign_in(request: Request, token: Token = "", next: Next = "/") -> Response:
    """Begin a session for who knows the token, and lead to the page that was asked for at first."""
    credentials, who = _credentials(request), client(request.scope)
    try:
        refuse_hasty(credentials.attempts.wait_s(who))
    except HTTPProblem as refusal:
        return answer(request.scope, refusal)
    if not credentials.is_token(token.strip()):
        credentials.attempts.failed(who)
        return render(
            request.scope,
            "sign_in.html",
            status=HTTPStatus.UNAUTHORIZED,
            headers={"WWW-Authenticate": "Bearer"},
            next=local(next),
            wrong=True,
        )
    credentials.attempts.succeeded(who)
    found = RedirectResponse(local(next), HTTPStatus.SEE_OTHER)
    session = credentials.sessions.begin(request.scope, found)
    request.state.actor = Actor.of(session)
    return found


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session, also for whoever may have copied its cookie."""
    left, actor = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER), actor_of(request.scope)
    if actor and actor.session:
        await run_in_threadpool(_credentials(request).sessions.end, actor.session, request.scope, left)
    return left


def local(path: str) -> str:
    """``path`` if it leads to a page of this service, else that of its beginning."""
    return path if _LOCAL.fullmatch(path) and not path.startswith(SIGN_IN) else "/"


def _credentials(request: Request) -> Credentials:
    return cast(Credentials, request.app.state.credentials)
