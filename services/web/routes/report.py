"""The page of a study's report: begins to write it, and shows it."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from services.api.dependencies import Plane
from services.api.paths import StudyPath
from services.api.security.headers import POLICY
from services.control.kinds import JobKind
from services.control.results import job_view
from services.web.rendering import render

router = APIRouter(include_in_schema=False)


@router.get("/studies/{name}/report")
def report(request: Request, plane: Plane, name: StudyPath) -> Response:
    """The report that was written last, in a frame of its own, and what writes it again."""
    state = plane.state(name)
    jobs = [job for job in plane.supervisor.jobs.of(name) if job.kind is JobKind.REPORT]
    story = plane.results.story(name, markdown=False)
    return render(
        request.scope,
        "report.html",
        headers={"Content-Security-Policy": f"{POLICY}; frame-src 'self'"},
        name=name,
        begun=state.ledger is not None,
        job=job_view(jobs[-1]) if jobs else None,
        written_at=int(story.stat().st_mtime) if story else None,
    )


@router.post("/studies/{name}/report")
def write(plane: Plane, name: StudyPath) -> Response:
    """Begin to write it."""
    plane.ledger(name)
    plane.results.report(name)
    return RedirectResponse(f"/studies/{name}/report", HTTPStatus.SEE_OTHER)
