"""Refusals as problem+json (RFC 9457): each names the field, the value it got and the rule that it breaks."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from convscout.search_space.errors import Problem
from convscout.services.schemas.problem_types import UNTYPED

MEDIA_TYPE = "application/problem+json"
_LONGEST_VALUE = 200  # characters of what was sent that are sent back


@dataclass(eq=False)
class HTTPProblem(Exception):
    """A request, or one picture of it, that is not answered. ``next_command`` is what a person can type to go on.

    ``type`` is the URI of the kind of error that it tells of, if it is one of ours.
    """

    status: HTTPStatus
    problems: Sequence[Problem] = ()
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    next_command: str = ""
    type: str = UNTYPED

    @classmethod
    def of(cls, status: HTTPStatus, name: str, value: object, rule: str, **headers: str) -> HTTPProblem:
        """The refusal of a field called ``name``; an underscore in the name of a header stands for a dash."""
        named = {header.replace("_", "-"): text for header, text in headers.items()}
        return cls(status, [Problem(field=name, value=value, rule=rule)], headers=named)

    def to_dict(self) -> dict[str, Any]:
        """The members of RFC 9457, section 3.1, ``errors`` and perhaps ``next``, in plain JSON whatever was sent."""
        members: dict[str, Any] = {
            "type": self.type,
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": _legible(
                self.detail or "; ".join(f"{each.field}: {each.rule}" for each in self.problems)
            ),
            "errors": [
                {"field": _legible(each.field), "value": _plain(each.value), "rule": _legible(each.rule)}
                for each in self.problems
            ],
        }
        return members | ({"next": _legible(self.next_command)} if self.next_command else {})

    def response(self) -> JSONResponse:
        """The answer. The connection ends with it where the rest of the request was not read."""
        headers = dict(self.headers)
        if self.status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT):
            headers["Connection"] = "close"
        return JSONResponse(self.to_dict(), int(self.status), headers, MEDIA_TYPE)


def busy(rule: str, name: str, value: object) -> HTTPProblem:
    """The server cannot answer now, but may in a second."""
    return HTTPProblem.of(HTTPStatus.SERVICE_UNAVAILABLE, name, value, rule, Retry_After="1")


def _plain(value: object) -> str | int | float | bool | None:
    """What was sent, as far as JSON can carry it and a person wants to read it."""
    if isinstance(value, str):
        return _shorten(_legible(value))
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _shorten(_legible(reprlib.repr(value)))


def _legible(text: str) -> str:
    r"""``text`` with what UTF-8 cannot write, halves of characters, written as ``\udc80``."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
