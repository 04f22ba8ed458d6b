"""The page of a study's ensemble: its members, what is to be had at each cost, exports, and trying one on a picture."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from convscout.search_space.errors import ConfigError, ConvscoutError, StudyNotFoundError
from convscout.services.control.plane import ControlPlane
from convscout.services.control.results import job_view
from convscout.services.evaluation.score_rows import gain_text
from convscout.services.export.writer import default_formats
from convscout.services.plugins import exporters
from convscout.services.schemas.jobs import JobKind
from convscout.services.schemas.studies import JobView
from convscout.services.server.dependencies import Plane
from convscout.services.server.pages.form_data import Sent
from convscout.services.server.pages.study_form import FieldChoice, fields
from convscout.services.server.path_params import StudyPath
from convscout.services.server.rendering import render
from convscout.services.studies.outcome import load_outcome

router = APIRouter(include_in_schema=False)
COSTS = {"params": "Parameters", "latency": "Latency of one image (ms)"}
_LIMITS = ("max_params", "max_latency", "size")
_MOST_JOBS = 6


@router.get("/studies/{name}/ensemble")
def ensemble(request: Request, plane: Plane, name: StudyPath) -> Response:
    """The ensemble as it was selected when the study ended, and what else can be made of its trials."""
    return _page(request, plane, name)


@router.get("/studies/{name}/ensemble/fronts")
def fronts(plane: Plane, name: StudyPath) -> Response:
    """The best ensembles at each cost, by what it is; what the slider chooses from."""
    return JSONResponse(_fronts(plane, name))


@router.post("/studies/{name}/ensemble/front")
def find_front(request: Request, plane: Plane, name: StudyPath, sent: Sent) -> Response:
    """Begin to look for the best ensembles at each cost."""
    cost: Literal["params", "latency"] = "latency" if sent.one("cost") == "latency" else "params"
    try:
        plane.ledger(name)
        plane.results.front(name, cost)
    except StudyNotFoundError:
        raise
    except ConvscoutError as error:
        return _page(request, plane, name, problem=error.message, status=HTTPStatus.CONFLICT)
    return _back(name)


@router.post("/studies/{name}/ensemble/exports")
def export(request: Request, plane: Plane, name: StudyPath, sent: Sent) -> Response:
    """Begin to export the study's ensemble, or another one within limits."""
    limits = {limit: sent.one(limit) for limit in _LIMITS if sent.one(limit)}
    try:
        plane.ledger(name)
        plane.results.export(name, tuple(sent.all("formats")), limits)
    except StudyNotFoundError:
        raise
    except (ConvscoutError, ValueError) as error:
        found = error.problems if isinstance(error, ConfigError) else ()
        said = "; ".join(f"{each.field}: {each.rule}" for each in found) or str(error)
        again = {limit: sent.one(limit) for limit in _LIMITS} | {"formats": sent.all("formats")}
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return _page(request, plane, name, problem=said, sent=again, status=status)
    return _back(name)


def _page(
    request: Request,
    plane: ControlPlane,
    name: str,
    *,
    problem: str = "",
    sent: dict[str, Any] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    state = plane.state(name)
    ledger = state.ledger
    outcome = load_outcome(ledger) if ledger else None
    records = {record.number: record for record in state.snapshot.trials}
    return render(
        request.scope,
        "ensemble.html",
        status=status,
        name=name,
        outcome=outcome,
        gain=gain_text(outcome.gain, " over the best single network") if outcome and outcome.gain else "",
        records=records,
        scored=len(state.snapshot.view.scored),
        fronts=_fronts(plane, name),
        costs=COSTS,
        jobs=_jobs(plane, name),
        exports=plane.results.exports(name) if ledger else [],
        formats=_formats(),
        usual=default_formats(),
        problem=problem,
        sent=sent or {},
    )


def _fronts(plane: ControlPlane, name: str) -> dict[str, list[dict[str, Any]]]:
    """The points that were found last, by cost, with the family of each member."""
    families = {record.number: record.family for record in plane.snapshot(name).trials}
    found: dict[str, list[dict[str, Any]]] = {}
    for cost in COSTS:
        front = plane.results.latest_front(name, cost)
        found[cost] = [
            {
                "cost": point["cost"],
                "accuracy": point["score"]["accuracy"],
                "nll": point["score"]["nll"],
                "members": [
                    {
                        "number": each["number"],
                        "family": families.get(each["number"], "?"),
                        "weight": each["weight"],
                    }
                    for each in point["members"]
                ],
            }
            for point in (front["front"] if front else [])
        ]
    return found


def _jobs(plane: ControlPlane, name: str) -> list[JobView]:
    """What is being made of the study, and what failed lately, the latest first."""
    kinds = (JobKind.FRONT, JobKind.EXPORT, JobKind.ENSEMBLE)
    found = [job_view(job) for job in plane.supervisor.jobs.of(name) if job.kind in kinds]
    return found[::-1][:_MOST_JOBS]


def _formats() -> list[FieldChoice]:
    described = {each.value: each.about for each in fields()["formats"].choices}
    return [FieldChoice(value=name, about=described.get(name, "")) for name in exporters.names()]


def _back(name: str) -> RedirectResponse:
    return RedirectResponse(f"/studies/{name}/ensemble#jobs", HTTPStatus.SEE_OTHER)
