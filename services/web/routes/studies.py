"""The page of all studies."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.api.dependencies import Plane
from services.study_status import StudyStatus
from services.web.rendering import render
from services.web.said import text_of

router = APIRouter(include_in_schema=False)


@router.get("/")
def studies(request: Request, plane: Plane, said: str = "") -> Response:
    """All studies, the latest first; what was interrupted is offered to be resumed before all else."""
    found = plane.studies()
    return render(
        request.scope,
        "studies.html",
        studies=found,
        interrupted=[each for each in found if each.status is StudyStatus.INTERRUPTED],
        deleted=plane.deleted(),
        said=text_of(said),
    )
