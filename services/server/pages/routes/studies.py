"""The page of all studies."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from convscout.services.schemas.study_status import StudyStatus
from convscout.services.server.dependencies import Plane
from convscout.services.server.pages.flash import text_of
from convscout.services.server.rendering import render

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
