"""What a refusal of the service is in Python: problem+json (RFC 9457) back to the exception that it tells of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from search_space.errors import (
    ConfigError,
    ConvscoutError,
    Problem,
    StudyExistsError,
    StudyNotFoundError,
    StudyStateError,
    UnknownNameError,
    UserError,
)

HOW_TO_SIGN_IN = (
    "give it by --token-file FILE or the variable CONVSCOUT_TOKEN, in Python by token= or token_file=; "
    "a service keeps it in service/token of its home"
)
_STUDY = re.compile(r"/api/v1/studies/[^/]+")


def error_of(response: httpx.Response) -> ConvscoutError:
    """The exception that an answer with a status of 400 or more stands for. Its body must have been read."""
    told = _told(response)
    error = _error(response, told, str(told.get("detail") or told.get("title") or response.reason_phrase))
    error.next_command = str(told.get("next") or "")
    return error


def _error(response: httpx.Response, told: Mapping[str, Any], detail: str) -> ConvscoutError:
    status, path = response.status_code, response.request.url.path
    of_a_study = bool(_STUDY.match(path))
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return UserError(f"the service refuses the token ({detail}): {HOW_TO_SIGN_IN}")
        case HTTPStatus.NOT_FOUND if of_a_study and detail.startswith("no study"):
            return StudyNotFoundError(detail)
        case HTTPStatus.NOT_FOUND:
            return UnknownNameError("\n".join(map(str, _problems(told))) or detail)
        case HTTPStatus.CONFLICT | HTTPStatus.PRECONDITION_FAILED:
            return StudyStateError(detail) if of_a_study else StudyExistsError(detail)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ConvscoutError(f"the service answers {status}: {detail}")
        case HTTPStatus.UNPROCESSABLE_ENTITY if problems := _problems(told):
            return ConfigError(problems)
        case HTTPStatus.UNPROCESSABLE_ENTITY if of_a_study:
            return StudyStateError(detail)
    return UserError(detail)


def _told(response: httpx.Response) -> Mapping[str, Any]:
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
