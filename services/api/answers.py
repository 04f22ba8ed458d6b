"""How refusals and errors are told: as problem+json to programs, as a small page to people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from search_space.errors import (
    ConfigError,
    ConvscoutError,
    LedgerAwayError,
    Problem,
    StudyExistsError,
    StudyNotFoundError,
    StudyStateError,
    UnknownNameError,
    UserError,
)
from services.api.security.requests import header, is_api
from services.http.measured import route_of
from services.http.problems import Refusal
from services.web.rendering import render

_AWAY_S = 5  # after which it is worth asking a database again
_STATUS: dict[type[ConvscoutError], HTTPStatus] = {  # the first that fits
    StudyNotFoundError: HTTPStatus.NOT_FOUND,
    UnknownNameError: HTTPStatus.NOT_FOUND,
    StudyExistsError: HTTPStatus.CONFLICT,
    StudyStateError: HTTPStatus.CONFLICT,
    UserError: HTTPStatus.UNPROCESSABLE_ENTITY,
    LedgerAwayError: HTTPStatus.SERVICE_UNAVAILABLE,
    ConvscoutError: HTTPStatus.CONFLICT,
}


def answer(scope: Scope, refusal: Refusal) -> Response:
    """``refusal`` in the form that whoever asked can read."""
    if is_api(scope) or "text/html" not in header(scope, b"accept"):
        return refusal.response()
    return render(
        scope, "error.html", status=refusal.status, headers=refusal.headers, problem=refusal.to_dict()
    )


def answer_errors(app: FastAPI) -> None:
    """Let ``app`` answer whatever its routes raise on purpose."""
    for kind in (Refusal, ConvscoutError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answered)


def refusal_of(error: Exception) -> Refusal:
    """``error`` as it is told over HTTP."""
    match error:
        case Refusal():
            return error
        case ConvscoutError():
            return _of_ours(error)
        case RequestValidationError():
            return _invalid(error.errors())
        case HTTPException(__cause__=Refusal() as refusal):
            return refusal
        case HTTPException():
            status = HTTPStatus(error.status_code)
            return Refusal(status, detail=_detail(error, status), headers=error.headers or {})
    raise error


async def _answered(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error)
    if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
        refusal = replace(refusal, headers={**refusal.headers, "Allow": _methods(request)})
    return answer(request.scope, refusal)


def _methods(request: Request) -> str:
    """What can be done at the address of ``request``, by whichever route; one of them alone is known to Starlette."""
    path = route_of(request.scope)
    at_it = (each.methods for each in iter_route_contexts(request.app.routes) if each.path == path)
    return ", ".join(sorted(set().union(*filter(None, at_it))))


def _of_ours(error: ConvscoutError) -> Refusal:
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    problems = error.problems if isinstance(error, ConfigError) else ()
    headers = {"Retry-After": str(_AWAY_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Refusal(status, problems, error.message, headers, error.next_command)


def _invalid(errors: Sequence[Any]) -> Refusal:
    """All that is wrong with what was sent; 400 where it is no JSON at all."""
    problems = [
        Problem(field=".".join(map(str, each["loc"])), value=each.get("input"), rule=each["msg"])
        for each in errors
    ]
    malformed = any(each["type"] == "json_invalid" for each in errors)
    return Refusal(HTTPStatus.BAD_REQUEST if malformed else HTTPStatus.UNPROCESSABLE_ENTITY, problems)


def _detail(error: HTTPException, status: HTTPStatus) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "there is nothing at this address"
    return "" if error.detail == status.phrase else str(error.detail)
