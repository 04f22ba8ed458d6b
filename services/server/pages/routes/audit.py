"""The page of the audit log: who changed what."""

from __future__ import annotations

import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convscout.services.server.dependencies import Plane
from convscout.services.server.rendering import render

router = APIRouter(include_in_schema=False)
_A_PAGE = 100


@router.get("/audit")
def audit(
    request: Request, plane: Plane, before: Annotated[int | None, Query(ge=0, lt=2**62)] = None
) -> Response:
    """The latest requests that could change something, those before the row numbered ``before`` if one is given."""
    rows = plane.store.audited(before, _A_PAGE + 1)
    shown = rows[:_A_PAGE]
    return render(
        request.scope,
        "audit.html",
        rows=[(row, datetime.datetime.fromisoformat(row.at)) for row in shown],
        before=before,
        older=shown[-1].id if len(rows) > len(shown) else None,
    )
