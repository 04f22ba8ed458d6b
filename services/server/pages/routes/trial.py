"""The page of one trial, what its network answers, and what its buttons do."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from convscout.search_space.errors import ConvscoutError, StudyNotFoundError
from convscout.services.control.plane import ControlPlane
from convscout.services.server.dependencies import Plane
from convscout.services.server.pages.flash import see, text_of
from convscout.services.server.pages.knob_groups import knob_groups
from convscout.services.server.pages.trial_answers import StudyImages, answers_of, parts_of
from convscout.services.server.path_params import StudyPath, TrialPath
from convscout.services.server.rendering import render

router = APIRouter(include_in_schema=False)
_images = StudyImages()
_MEASURES = ("train_loss", "val_loss", "val_accuracy", "learning_rate")


@router.get("/studies/{name}/trials/{number}")
def trial(request: Request, plane: Plane, name: StudyPath, number: TrialPath, said: str = "") -> Response:
    """All that is known of a trial but what takes its images to tell."""
    return _page(request, plane, name, number, said=text_of(said))


@router.get("/studies/{name}/trials/{number}/curve")
def curve(plane: Plane, name: StudyPath, number: TrialPath) -> Response:
    """What its chart is drawn from."""
    found = plane.trial(name, number).curve
    return JSONResponse(
        {
            "epochs": [each.epoch for each in found],
            **{measure: [getattr(each, measure) for each in found] for measure in _MEASURES},
        }
    )


@router.get("/studies/{name}/trials/{number}/answers")
def answers(request: Request, plane: Plane, name: StudyPath, number: TrialPath) -> Response:
    """What its network is made of and what it confuses; takes as long as reading the images does."""
    ledger = plane.ledger(name)
    record = ledger.trial(number)
    try:
        splits = _images.of(ledger)
    except ConvscoutError as error:
        return render(
            request.scope, "answers.html", name=name, trial=number, parts=[], found=None, error=error.message
        )
    return render(
        request.scope,
        "answers.html",
        name=name,
        trial=number,
        parts=parts_of(record, splits),
        found=answers_of(ledger, number, splits) if record.measurements else None,
        error="",
    )


@router.post("/studies/{name}/trials/{number}/retry")
def retry(request: Request, plane: Plane, name: StudyPath, number: TrialPath) -> Response:
    """Let it go on."""
    return _redirect_done(request, plane, name, number, "retried", lambda: plane.retry(name, number))


@router.post("/studies/{name}/trials/{number}/stop")
def stop(request: Request, plane: Plane, name: StudyPath, number: TrialPath) -> Response:
    """Let it end with its present epoch."""
    return _redirect_done(
        request, plane, name, number, "trial-stopped", lambda: plane.stop_trial(name, number)
    )


def _page(
    request: Request,
    plane: ControlPlane,
    name: str,
    number: int,
    *,
    said: str = "",
    problem: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    record = plane.ledger(name).trial(number)
    return render(
        request.scope,
        "trial.html",
        status=status,
        name=name,
        trial=plane.trial(name, number),
        groups=list(knob_groups(record.config)) if record.config else [],
        attempts=record.attempt,
        worker_failures=record.worker_failures,
        said=said,
        problem=problem,
    )


def _redirect_done(
    request: Request, plane: ControlPlane, name: str, number: int, said: str, act: Callable[[], object]
) -> Response:
    try:
        act()
    except StudyNotFoundError:
        raise
    except ConvscoutError as error:
        return _page(request, plane, name, number, problem=error.message, status=HTTPStatus.CONFLICT)
    return see(f"/studies/{name}/trials/{number}", said)
