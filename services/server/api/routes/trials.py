"""Trials of a study: look at them, stop one, let one go on, queue one that was made by hand."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from convscout.services.control import trials
from convscout.services.control.trials import TrialOrder
from convscout.services.schemas.studies import Importance, LearningCurve, TrialDetail, TrialSummary
from convscout.services.server.api.bodies import Body
from convscout.services.server.api.etags import TAGGED, answer_with_etag
from convscout.services.server.api.idempotency import Once
from convscout.services.server.api.openapi import problems
from convscout.services.server.dependencies import Page, Plane
from convscout.services.server.path_params import StudyPath, TrialPath
from convscout.trials.config import TrialState

router = APIRouter(prefix="/api/v1/studies/{name}", tags=["trials"])

Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]


class HandMade(Body):
    """A trial that a person wants to see trained."""

    settings: dict[str, str | int | float | bool] = Field(
        description="Family and knobs by full name; what is not said is as in the family's proven network.",
        examples=[{"family": "lenet", "lenet.width": 8}],
    )


class Queued(BaseModel):
    """A trial that will be the next."""

    parameters: dict[str, Any]


class TrialPage(BaseModel):
    """Some of the trials of a study."""

    items: list[TrialSummary]
    total: int = Field(description="How many there are that were asked for, on all pages.")
    next: str | None = Field(description="The cursor of what comes after it, if anything does.")


class Leaderboard(BaseModel):
    """The best trials, the best first; running ones take part."""

    items: list[TrialSummary]


class TrialCurves(BaseModel):
    """How trials learnt."""

    items: list[LearningCurve]


class Importances(BaseModel):
    """How much each knob mattered, the most important first; nothing while there are too few trials to tell."""

    items: list[Importance]


@router.get("/trials", responses=problems(404, 503) | TAGGED)
def list_trials(
    request: Request,
    plane: Plane,
    name: StudyPath,
    page: Page,
    state: Annotated[list[TrialState] | None, Query(description="Only trials in these states.")] = None,
    family: Annotated[list[str] | None, Query(description="Only trials of these families.")] = None,
    sort: TrialOrder = TrialOrder.NUMBER,
    descending: bool = False,
) -> TrialPage:
    """The trials of a study."""
    found = trials.select(
        plane.snapshot(name).trials,
        states=[str(each) for each in state or ()],
        families=family or (),
        order=sort,
        descending=descending,
    )
    records, following = page.of(found)
    shown = [trials.summary(record) for record in records]
    return answer_with_etag(request, TrialPage(items=shown, total=len(found), next=following))


@router.post("/trials", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409, 503, body=True))
def enqueue_trial(plane: Plane, name: StudyPath, once: Once, body: HandMade) -> Queued:
    """Let a trial made by hand be the next."""
    return once(lambda: Queued(parameters=plane.enqueue(name, body.settings)), Queued)


@router.get("/trials/{number}", responses=problems(404, 503) | TAGGED)
def get_trial(request: Request, plane: Plane, name: StudyPath, number: TrialPath) -> TrialDetail:
    """All that is known of a trial, with its learning curve."""
    return answer_with_etag(request, plane.trial(name, number))


@router.post("/trials/{number}/retry", responses=problems(404, 409, 503))
def retry_trial(plane: Plane, name: StudyPath, number: TrialPath) -> TrialSummary:
    """Let a stopped trial go on from its last checkpoint, or a failed one begin anew, when the study runs."""
    plane.retry(name, number)
    return plane.trial(name, number)


@router.post("/trials/{number}/stop", responses=problems(404, 409, 503))
def stop_trial(plane: Plane, name: StudyPath, number: TrialPath) -> TrialSummary:
    """Let a running trial end with its present epoch; what it came to counts."""
    plane.stop_trial(name, number)
    return plane.trial(name, number)


@router.get("/leaderboard", responses=problems(404, 503) | TAGGED)
def leaderboard(request: Request, plane: Plane, name: StudyPath, limit: Limit = 20) -> Leaderboard:
    """The best trials, the best first."""
    ranking = plane.snapshot(name).ranking[:limit]
    return answer_with_etag(request, Leaderboard(items=[trials.summary(record) for record in ranking]))


@router.get("/curves", responses=problems(404, 503) | TAGGED)
def curves(request: Request, plane: Plane, name: StudyPath, limit: Limit = 60) -> TrialCurves:
    """The learning curves of the best trials, and of those that were stopped latest."""
    chosen = trials.to_draw(plane.snapshot(name), limit)
    return answer_with_etag(request, TrialCurves(items=[trials.curve(record) for record in chosen]))


@router.get("/importances", responses=problems(404, 503) | TAGGED)
def importances(request: Request, plane: Plane, name: StudyPath) -> Importances:
    """How much each knob mattered to being among the best tenth, by conditional PED-ANOVA."""
    found = plane.importances(name)
    return answer_with_etag(
        request, Importances(items=[Importance(knob=k, share=v) for k, v in found.items()])
    )
