"""MLflow's user interface behind the service's own address, below ``/mlflow/``.

Requests are passed on to the server that ``KeptUi`` keeps, with the few headers that it needs: whoever comes here has
signed in, and MLflow sees neither token nor cookie. What may be asked is told by ``mlflow_rules``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from convscout.search_space.errors import ConvscoutError
from convscout.services.server.mlflow.page import POLICY, STARTING, STARTING_POLICY, prepare
from convscout.services.server.mlflow.allowlist import is_artifact, permit
from convscout.services.http.problems import HTTPProblem, busy
from convscout.services.server.mlflow.process import KeptUi
from convscout.services.tracking.urls import MLFLOW

BODY_BYTES = 2**20  # of a request: the longest note has 8,000 characters
_PAGE_PATIENCE_S, _PATIENCE_S = 2.0, 30.0  # for a server that starts: of a page, of its scripts
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_ASKED = ("accept", "accept-encoding", "accept-language", "content-type")
_ASKED_OF_FILES = (*_ASKED, "if-none-match", "if-modified-since", "range")
_ANSWERED = (
    "accept-ranges",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "vary",
)
_GUARDS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
_ARTIFACT_GUARDS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HARMLESS = frozenset(
    {
        "application/json",
        "application/octet-stream",
        "application/pdf",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/svg+xml",  # which the policy keeps from running scripts
        "image/webp",
        "text/csv",
        "text/plain",
    }
)


def mlflow_router(ui: KeptUi) -> APIRouter:
    """The routes below ``/mlflow``. They end ``ui`` when the application that includes them ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await ui.close()

    router = APIRouter(prefix=MLFLOW, include_in_schema=False, lifespan=lifespan)

    @router.get("")
    async def enter() -> Response:
        return RedirectResponse(f"{MLFLOW}/")

    @router.get("/")
    async def page(request: Request) -> Response:
        return await _page(ui, request)

    @router.api_route("/{path:path}", methods=_METHODS)
    async def pass_on(request: Request, path: str) -> Response:
        permit(request.method, path)
        content = await _body(request)
        answer = await _ask(await _client(ui, _PATIENCE_S), request, _ASKED_OF_FILES, content)
        return StreamingResponse(_content(answer), answer.status_code, _headers(answer, path))

    return router


async def _page(ui: KeptUi, request: Request) -> Response:
    try:
        client = await _client(ui, _PAGE_PATIENCE_S)
        answer = await _ask(client, request, ("accept",), b"")
    except HTTPProblem as refusal:
        if refusal.detail:
            raise
        headers = {
            "Retry-After": "1",
            "Cache-Control": "no-store",
            "Content-Security-Policy": STARTING_POLICY,
        }
        return HTMLResponse(STARTING, HTTPStatus.SERVICE_UNAVAILABLE, headers)
    content = prepare(await answer.aread())
    headers = {**_GUARDS, "Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return Response(content, answer.status_code, headers, answer.headers.get("content-type"))


async def _client(ui: KeptUi, patience_s: float) -> httpx.AsyncClient:
    """Raises ``HTTPProblem``: with a detail if MLflow cannot be started, without if it may answer soon."""
    try:
        client = await ui.client(patience_s)
    except ConvscoutError as error:
        headers = {"Retry-After": "5"}
        raise HTTPProblem(HTTPStatus.SERVICE_UNAVAILABLE, detail=error.message, headers=headers) from None
    if client is None:
        raise busy("is starting; ask again", "MLflow", "")
    return client


async def _ask(
    client: httpx.AsyncClient, request: Request, names: tuple[str, ...], content: bytes
) -> httpx.Response:
    """What MLflow answers, its content still to be read. Raises ``HTTPProblem``."""
    passed = client.build_request(
        request.method,
        httpx.URL(
            f"{request.scope['raw_path'].decode('ascii')}?{request.scope['query_string'].decode('ascii')}"
        ),
        headers={name: request.headers[name] for name in names if name in request.headers},
        content=content or None,
    )
    try:
        return await client.send(passed, stream=True)
    except (
        httpx.TransportError,
        RuntimeError,
    ) as error:  # RuntimeError: closed meanwhile, as MLflow has died
        raise busy(f"does not answer: {type(error).__name__}; ask again", "MLflow", "") from None


async def _content(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


async def _body(request: Request) -> bytes:
    """What is sent, JSON alone, as no form of another site can send that. Raises ``HTTPProblem``."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY_BYTES:
            rule = f"must have {BODY_BYTES} bytes at most"
            raise HTTPProblem.of(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", f"more than {BODY_BYTES} bytes", rule
            )
    kind = _kind(request.headers.get("content-type", ""))
    if (content or request.method not in ("GET", "HEAD")) and kind != "application/json":
        raise HTTPProblem.of(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type", kind, "must be application/json")
    return bytes(content)


def _headers(answer: httpx.Response, path: str) -> dict[str, str]:
    headers = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers} | _GUARDS
    if not is_artifact(path):
        return headers | {"Content-Security-Policy": POLICY}
    kind = _kind(headers.get("content-type", ""))
    if kind not in _HARMLESS:  # a script or a document, which no page of ours may load as such
        headers["content-type"] = "text/plain" if kind.startswith("text/") else "application/octet-stream"
    return headers | _ARTIFACT_GUARDS


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
