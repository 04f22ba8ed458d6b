"""The page of a study's report: begins to write it, and shows it."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from convscout.services.control.results import job_view
from convscout.services.schemas.jobs import JobKind
from convscout.services.server.dependencies import Plane
from convscout.services.server.middleware.security_headers import POLICY
from convscout.services.server.path_params import StudyPath
from convscout.services.server.rendering import render

router = APIRouter(include_in_schema=False)


@router.get("/studies/{name}/report")
def report(request: Request, plane: Plane, name: StudyPath) -> Response:
    """The report that was written last, in a frame of its own, and what writes it again."""
    state = plane.state(name)
    jobs = [job for job in plane.supervisor.jobs.of(name) if job.kind is JobKind.REPORT]
    report_path = plane.results.report_path(name, markdown=False)
    return render(
        request.scope,
        "report.html",
        headers={"Content-Security-Policy": f"{POLICY}; frame-src 'self'"},
        name=name,
        begun=state.ledger is not None,
        job=job_view(jobs[-1]) if jobs else None,
        written_at=int(report_path.stat().st_mtime) if report_path else None,
    )


@router.post("/studies/{name}/report")
def write(plane: Plane, name: StudyPath) -> Response:
    """Begin to write it."""
    plane.ledger(name)
    plane.results.report(name)
    return RedirectResponse(f"/studies/{name}/report", HTTPStatus.SEE_OTHER)
