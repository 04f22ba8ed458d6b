"""The pages of datasets: what there is, bringing one, looking at it, removing it."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response

from convscout.search_space.errors import ConvscoutError, DatasetConflictError, DatasetError
from convscout.services.control.plane import ControlPlane
from convscout.services.server.dependencies import Plane
from convscout.services.server.pages.flash import see, text_of
from convscout.services.server.rendering import render

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
    except DatasetError as failed:
        report, error = None, _rules(failed)
    except ConvscoutError as failed:
        report, error = None, failed.message
    return render(request.scope, "look.html", dataset=view, report=report, error=error)


@router.post("/datasets/{name}/delete")
def delete(request: Request, plane: Plane, name: str) -> Response:
    """Remove an uploaded one, unless a study was started on it."""
    try:
        plane.datasets.delete(name)
    except DatasetConflictError as error:
        return _page(request, plane, problem=f"{name} {_rules(error)}", status=HTTPStatus.CONFLICT)
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


def _rules(error: DatasetError) -> str:
    return "; ".join(each.rule for each in error.problems)
