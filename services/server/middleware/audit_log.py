"""Audited: who changed what, or tried to, is on disk before the answer leaves."""

from __future__ import annotations

import logging
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscout.search_space.errors import ConvscoutError
from convscout.services.control.store import ServiceStore
from convscout.services.http.measured import route_of
from convscout.services.server.auth.actor import NOBODY, actor_of
from convscout.services.server.auth.requests import address, changes

_log = logging.getLogger(__name__)
_FAILED = 500  # or nobody was there to be answered


class AuditLog:
    """Writes a row for each request that may change something, whatever came of it.

    Of those who did not sign in, only wrong tokens leave one: how often they can be tried is limited, so that nobody
    can fill the disk.
    """

    def __init__(self, app: ASGIApp, store: ServiceStore) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not changes(scope):
            await self._app(scope, receive, send)
            return
        written = False

        async def writing(message: Message) -> None:
            nonlocal written
            if message["type"] == "http.response.start":
                written = True
                await self._write(scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, writing)
        finally:
            if not written:
                await self._write(scope, _FAILED)

    async def _write(self, scope: Scope, status: int) -> None:
        actor = actor_of(scope)
        if actor is None and status != HTTPStatus.UNAUTHORIZED:
            return
        try:
            await run_in_threadpool(
                self._store.audit,
                actor=actor.name if actor else NOBODY,
                client=address(scope),
                method=scope["method"],
                route=route_of(scope),
                target=scope["path"],
                status=status,
            )
        except ConvscoutError as error:  # what was asked is done and cannot be taken back
            said = f"{scope['method']} {scope['path']} {status}"
            _log.error("no row in the audit log for %s: %s", said, error.message)
