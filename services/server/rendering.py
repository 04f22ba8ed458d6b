"""Pages from templates, which escape whatever they show."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse
from starlette.types import Scope

from convscout.services.server.auth.actor import actor_of, csrf_of
from convscout.services.server.template_filters import FILTERS


def render(
    scope: Scope,
    template: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """The page that ``template`` makes of ``context``, of the ``path``, and of who asks.

    ``csrf`` is what its forms and scripts have to send back, ``signed_in`` whether a browser has signed in.
    """
    text = _environment().get_template(template)
    known = {"csrf": csrf_of(scope), "signed_in": actor_of(scope) is not None, "path": scope["path"]}
    return HTMLResponse(text.render(known | context), status, dict(headers or {}))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("convscout.services.server.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment
