"""Refusals as problem+json (RFC 9457): each names the field, the value it got and the rule that it breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from search_space.errors import Problem

MEDIA_TYPE = "application/problem+json"


@dataclass(eq=False)
class Refusal(Exception):
    """A request, or one picture of it, that is not answered."""

    status: HTTPStatus
    problems: Sequence[Problem] = ()
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: HTTPStatus, name: str, value: object, rule: str, **headers: str) -> Refusal:
        """The refusal of a field called ``name``; an underscore in the name of a header stands for a dash."""
        named = {header.replace("_", "-"): text for header, text in headers.items()}
        return cls(status, [Problem(field=name, value=value, rule=rule)], headers=named)

    def to_dict(self) -> dict[str, Any]:
        """The members of RFC 9457, section 3.1, and ``errors``."""
        return {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail or "; ".join(f"{each.field}: {each.rule}" for each in self.problems),
            "errors": [
                {"field": each.field, "value": each.value, "rule": each.rule} for each in self.problems
            ],
        }

    def response(self) -> JSONResponse:
        """The answer. The connection ends with it where the rest of the request was not read."""
        headers = dict(self.headers)
        if self.status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT):
            headers["Connection"] = "close"
        return JSONResponse(self.to_dict(), int(self.status), headers, MEDIA_TYPE)


def busy(rule: str, name: str, value: object) -> Refusal:
    """The server cannot answer now, but may in a second."""
    return Refusal.of(HTTPStatus.SERVICE_UNAVAILABLE, name, value, rule, Retry_After="1")
