"""Whether the service is well, and what it counts."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from convscout.services.server.api.openapi import OPEN, problems

router = APIRouter(prefix="/api/v1", tags=["service"])


class Health(BaseModel):
    """That the service answers."""

    status: Literal["ok"]
    version: str = Field(description="Of convscout.", examples=["0.1.0"])


@router.get("/health", responses=problems(), openapi_extra=OPEN)
async def health() -> Health:
    """Whether the service answers. Anybody may ask."""
    return Health(status="ok", version=_version())


@router.get(
    "/metrics",
    response_class=Response,
    responses=problems() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    """Counts and times, for Prometheus."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@cache
def _version() -> str:
    return importlib.metadata.version("convscout")
