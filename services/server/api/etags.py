"""ETags of what is asked for again and again: who has it already is told so, and nothing else."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any, TypeVar, cast

from fastapi import Request, Response
from pydantic import BaseModel

Answer = TypeVar("Answer", bound=BaseModel)

_ETAG = {"ETag": {"description": "Of this answer, for If-None-Match.", "schema": {"type": "string"}}}
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": _ETAG},
    304: {"description": "It is still what the client has.", "headers": _ETAG},
}
"""What OpenAPI is told of a route that answers through ``tagged``."""


def answer_with_etag(request: Request, answer: Answer) -> Answer:
    """``answer`` with its ETag, or 304 where ``request`` names that. FastAPI passes on the response that it is."""
    content = answer.model_dump_json().encode()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if tag in known:
        return cast(Answer, Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag}))
    return cast(Answer, Response(content, headers={"ETag": tag}, media_type="application/json"))
