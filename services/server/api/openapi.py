"""What OpenAPI says of every route: which problems it answers with, in which form, and who may ask."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from convscout.services.http.problems import MEDIA_TYPE
from convscout.services.schemas.problem_types import UNTYPED

_EVERYWHERE = (400, 401, 403, 421, 422, 429)  # what the guards and the reading of parameters say
_WITH_BODY = (408, 413, 415)
_HEADERS = {
    401: {"WWW-Authenticate": {"description": "How to say who asks.", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "In how many seconds.", "schema": {"type": "integer"}}},
    503: {"Retry-After": {"description": "In how many seconds.", "schema": {"type": "integer"}}},
}
_SECURITY = {
    "token": {"type": "http", "scheme": "bearer", "description": "The token of the service."},
}
OPEN: dict[str, Any] = {"security": []}  # ``openapi_extra`` of a route that anybody may ask


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="What is wrong.")
    value: str | int | float | bool | None = Field(description="What was sent.")
    rule: str = Field(description="What must hold.")


class ProblemDetails(BaseModel):
    """Why there is no other answer, as RFC 9457 has it."""

    type: str = Field(
        description="The kind of error; about:blank where the status says it all.",
        examples=["urn:convscout:problem:study-not-found", UNTYPED],
    )
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str
    errors: list[Wrong] = Field(description="Everything that is wrong at once, if single things are.")
    next: str | None = Field(default=None, description="The command that a person can type to go on.")


def problems(*statuses: int, body: bool = False) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route: the problems that any route may answer with, and those of ``statuses``.

    ``body`` adds those of a route that takes one.
    """
    told = sorted({*_EVERYWHERE, *statuses, *(_WITH_BODY if body else ())})
    return {status: _problem(status) for status in told}


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
    said: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    return said | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


class DeclaredApi(FastAPI):
    """FastAPI, whose description also says how problems look and how one says who asks."""

    def openapi(self) -> dict[str, Any]:
        """The description of all routes, in OpenAPI 3.1."""
        said = super().openapi()
        components = said.setdefault("components", {})
        template = "#/components/schemas/{model}"
        schema = ProblemDetails.model_json_schema(ref_template=template)
        components.setdefault("schemas", {}).update(schema.pop("$defs") | {ProblemDetails.__name__: schema})
        components["securitySchemes"] = _SECURITY
        said["security"] = [{name: []} for name in _SECURITY]
        return said
