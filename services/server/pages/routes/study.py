"""The page of one study, and what its charts are drawn from."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from convscout.search_space.architecture import families
from convscout.services.control.plane import HIGHEST, LOWEST, ControlPlane
from convscout.services.control.trials import summary
from convscout.services.events.event_log import event_log_path
from convscout.services.ledger.end_reasons import group_reasons
from convscout.services.server.dependencies import Plane
from convscout.services.server.pages.charts import Charts, family_rows, importance_data
from convscout.services.server.pages.event_feed import latest_happenings
from convscout.services.server.pages.flash import text_of
from convscout.services.server.path_params import StudyPath
from convscout.services.server.rendering import render
from convscout.services.studies.outcome import Outcome

router = APIRouter(include_in_schema=False)
_MOST_LEADERS, _MOST_HAPPENINGS, _MOST_REASONS = 20, 40, 25
_charts = Charts()


@router.get("/studies/{name}")
def study(request: Request, plane: Plane, name: StudyPath, said: str = "") -> Response:
    """How the study stands; a script asks for it again and again while it runs."""
    return study_page(request, plane, name, said=text_of(said))


@router.get("/studies/{name}/charts")
def charts(plane: Plane, name: StudyPath) -> Response:
    """Curves, costs and timeline."""
    return JSONResponse(_charts.of(plane.snapshot(name)))


@router.get("/studies/{name}/knobs")
def knobs(plane: Plane, name: StudyPath) -> Response:
    """Which knobs mattered."""
    return JSONResponse(importance_data(plane.importances(name)))


def study_page(
    request: Request,
    plane: ControlPlane,
    name: str,
    *,
    said: str = "",
    problems: dict[str, list[str]] | None = None,
    sent: dict[str, str] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    """The page, with what is wrong with what was ``sent`` by one of its forms."""
    detail, snapshot = plane.study(name), plane.snapshot(name)
    return render(
        request.scope,
        "study.html",
        status=status,
        study=detail,
        corrections=Outcome.from_dict(detail.outcome).corrections if detail.outcome else [],
        leaders=[summary(record) for record in snapshot.ranking[:_MOST_LEADERS]],
        families=family_rows(snapshot),
        reasons=group_reasons(snapshot.trials)[:_MOST_REASONS],
        happenings=latest_happenings(event_log_path(plane.home.study(name)), _MOST_HAPPENINGS),
        space_families=_families(detail.config),
        said=said,
        problems=problems or {},
        sent=sent or {},
        lowest=LOWEST,
        highest=HIGHEST,
    )


def _families(config: dict[str, Any]) -> list[str]:
    """Those that a trial made by hand may be of."""
    return list(config["families"]) or [name for name, family in families.items() if family.searched]
