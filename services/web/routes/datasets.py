"""The pages of datasets: what there is, bringing one, looking at it, removing it."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response

from search_space.errors import ConvscoutError
from services.api.dependencies import Plane
from services.control.plane import ControlPlane
from services.http.problems import Refusal
from services.web.rendering import render
from services.web.said import see, text_of

router = APIRouter(include_in_schema=False)


@router.get("/datasets")
def datasets(request: Request, plane: Plane, said: str = "") -> Response:
    """All there are, and the form that uploads one."""
    return _page(request, plane, said=text_of(said))


@router.get("/datasets/{name}/look")
def look(request: Request, plane: Plane, name: str) -> Response:
    """What a check of its images found, and a picture of some; takes a while the first time."""
    view = plane.datasets.get(name)
    try:
        report, error = plane.datasets.check(name), ""
    except ConvscoutError as failed:
        report, error = None, failed.message
    except Refusal as refusal:
        report, error = None, "; ".join(each.rule for each in refusal.problems) or refusal.detail
    return render(request.scope, "look.html", dataset=view, report=report, error=error)


@router.post("/datasets/{name}/delete")
def delete(request: Request, plane: Plane, name: str) -> Response:
    """Remove an uploaded one, unless a study was started on it."""
    try:
        plane.datasets.delete(name)
    except Refusal as refusal:
        if refusal.status is HTTPStatus.NOT_FOUND:
            raise
        rules = "; ".join(each.rule for each in refusal.problems)
        return _page(request, plane, problem=f"{name} {rules}", status=refusal.status)
    return see("/datasets", "dataset-deleted")


def _page(
    request: Request,
    plane: ControlPlane,
    *,
    said: str = "",
    problem: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    return render(
        request.scope,
        "datasets.html",
        status=status,
        datasets=plane.datasets.list(),
        most_bytes=plane.settings.upload_bytes,
        said=said,
        problem=problem,
    )
