"""What a refusal of the service is in Python: problem+json (RFC 9457) back to the exception that it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from convscout.search_space.errors import (
    ConfigError,
    ConvscoutError,
    Problem,
    StudyStateError,
    UnknownNameError,
    UserError,
)
from convscout.services.schemas.problem_types import KINDS

HOW_TO_SIGN_IN = (
    "give it by --token-file FILE or the variable CONVSCOUT_TOKEN, in Python by token= or token_file=; "
    "a service keeps it in service/token of its home"
)


def error_of(response: httpx.Response) -> ConvscoutError:
    """The exception that an answer with a status of 400 or more stands for. Its body must have been read."""
    told = _facts(response)
    detail = str(told.get("detail") or told.get("title") or response.reason_phrase)
    kind = KINDS.get(str(told.get("type")))
    error = _of_kind(kind, told, detail) if kind else _of_status(response.status_code, told, detail)
    error.next_command = str(told.get("next") or "")
    return error


def _of_kind(kind: type[ConvscoutError], told: Mapping[str, Any], detail: str) -> ConvscoutError:
    """The error that the service itself raised."""
    if issubclass(kind, ConfigError):
        return kind(_problems(told))
    return kind(detail)


def _of_status(status: int, told: Mapping[str, Any], detail: str) -> ConvscoutError:
    """What stands for a refusal that HTTP knows of alone."""
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return UserError(f"the service refuses the token ({detail}): {HOW_TO_SIGN_IN}")
        case HTTPStatus.NOT_FOUND:
            return UnknownNameError("\n".join(map(str, _problems(told))) or detail)
        case HTTPStatus.CONFLICT | HTTPStatus.PRECONDITION_FAILED:
            return StudyStateError(detail)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ConvscoutError(f"the service answers {status}: {detail}")
        case HTTPStatus.UNPROCESSABLE_ENTITY if problems := _problems(told):
            return ConfigError(problems)
    return UserError(detail)


def _facts(response: httpx.Response) -> Mapping[str, Any]:
    """The members of the problem; none where something else than the service answers."""
    try:
        told = response.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _problems(told: Mapping[str, Any]) -> list[Problem]:
    return [
        Problem(field=each.get("field", ""), value=each.get("value"), rule=each.get("rule", ""))
        for each in told.get("errors") or ()
    ]
