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

from convscout.search_space.errors import (
    BusyError,
    ConfigError,
    ConvscoutError,
    DatasetConflictError,
    DatasetError,
    DatasetNotFoundError,
    LedgerAwayError,
    NoRoomError,
    Problem,
    StudyExistsError,
    StudyNotFoundError,
    StudyStateError,
    UnknownNameError,
    UploadTooLargeError,
    UserError,
)
from convscout.services.http.measured import route_of
from convscout.services.http.problems import HTTPProblem
from convscout.services.schemas.problem_types import type_of
from convscout.services.server.auth.requests import header, is_api
from convscout.services.server.rendering import render

_AGAIN_S = {BusyError: 1, LedgerAwayError: 5}  # seconds after which it is worth asking again
_STATUS: dict[type[ConvscoutError], HTTPStatus] = {  # the first that fits
    StudyNotFoundError: HTTPStatus.NOT_FOUND,
    DatasetNotFoundError: HTTPStatus.NOT_FOUND,
    DatasetConflictError: HTTPStatus.CONFLICT,
    UploadTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NoRoomError: HTTPStatus.INSUFFICIENT_STORAGE,
    BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    UnknownNameError: HTTPStatus.NOT_FOUND,
    StudyExistsError: HTTPStatus.CONFLICT,
    StudyStateError: HTTPStatus.CONFLICT,
    UserError: HTTPStatus.UNPROCESSABLE_ENTITY,
    LedgerAwayError: HTTPStatus.SERVICE_UNAVAILABLE,
    ConvscoutError: HTTPStatus.CONFLICT,
}


def answer(scope: Scope, refusal: HTTPProblem) -> Response:
    """``refusal`` in the form that whoever asked can read."""
    if is_api(scope) or "text/html" not in header(scope, b"accept"):
        return refusal.response()
    return render(
        scope, "error.html", status=refusal.status, headers=refusal.headers, problem=refusal.to_dict()
    )


def answer_errors(app: FastAPI) -> None:
    """Let ``app`` answer whatever its routes raise on purpose."""
    for kind in (HTTPProblem, ConvscoutError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer)


def refusal_of(error: Exception) -> HTTPProblem:
    """``error`` as it is told over HTTP."""
    match error:
        case HTTPProblem():
            return error
        case ConvscoutError():
            return _of_ours(error)
        case RequestValidationError():
            return _invalid(error.errors())
        case HTTPException(__cause__=HTTPProblem() as refusal):
            return refusal
        case HTTPException():
            status = HTTPStatus(error.status_code)
            return HTTPProblem(status, detail=_detail(error, status), headers=error.headers or {})
    raise error


async def _answer(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error)
    if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
        refusal = replace(refusal, headers={**refusal.headers, "Allow": _methods(request)})
    return answer(request.scope, refusal)


def _methods(request: Request) -> str:
    """What can be done at the address of ``request``, by whichever route; one of them alone is known to Starlette."""
    path = route_of(request.scope)
    at_it = (each.methods for each in iter_route_contexts(request.app.routes) if each.path == path)
    return ", ".join(sorted(set().union(*filter(None, at_it))))


def _of_ours(error: ConvscoutError) -> HTTPProblem:
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    problems = error.problems if isinstance(error, ConfigError) else ()
    again_s = next((seconds for kind, seconds in _AGAIN_S.items() if isinstance(error, kind)), None)
    headers = {} if again_s is None else {"Retry-After": str(again_s)}
    detail = "" if isinstance(error, DatasetError) else error.message  # its rule says it all
    return HTTPProblem(status, problems, detail, headers, error.next_command, type_of(type(error)))


def _invalid(errors: Sequence[Any]) -> HTTPProblem:
    """All that is wrong with what was sent; 400 where it is no JSON at all."""
    problems = [
        Problem(field=".".join(map(str, each["loc"])), value=each.get("input"), rule=each["msg"])
        for each in errors
    ]
    malformed = any(each["type"] == "json_invalid" for each in errors)
    return HTTPProblem(HTTPStatus.BAD_REQUEST if malformed else HTTPStatus.UNPROCESSABLE_ENTITY, problems)


def _detail(error: HTTPException, status: HTTPStatus) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "there is nothing at this address"
    return "" if error.detail == status.phrase else str(error.detail)
