"""The page that starts a study: the form, its check while it is filled in, and what it sends."""

from __future__ import annotations

from http import HTTPStatus
from itertools import count
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from convscout.search_space.errors import ConfigError, Problem, StudyExistsError, StudyNotFoundError
from convscout.services.config.command_line import search_command
from convscout.services.config.names import find_name_problem
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.toml import to_toml
from convscout.services.control.plane import HIGHEST, LOWEST, ControlPlane
from convscout.services.server.dependencies import Plane
from convscout.services.server.pages import study_form as start_form
from convscout.services.server.pages.flash import see
from convscout.services.server.pages.form_data import Sent, SentForm
from convscout.services.server.pages.priority_field import PRIORITY, priority_problems
from convscout.services.server.rendering import render

router = APIRouter(include_in_schema=False)
_USUAL_DATA = "digits"


@router.get("/new")
def new_study(request: Request, plane: Plane, like: str = "", data: str = "") -> Response:
    """The form, filled in with what suits most, or as the study called ``like`` was."""
    name = _free_name(plane)
    if like:
        config = plane.state(like).config
        values = start_form.shown_config(config) | {"name": _free_name(plane, f"{like}-")}
    else:
        config = StudyConfig(name=name, data=_USUAL_DATA)
        values = start_form.shown_config(config)
        values |= {"data": data or _USUAL_DATA, "time_s": "10m"}
    return _form(request, plane, values, {})


@router.post("/new")
def start(request: Request, plane: Plane, sent: Sent) -> Response:
    """Let the study wait for its turn, and lead to it; else the form again, with what is wrong with it."""
    settings, priority = start_form.settings_of(sent), sent.one(PRIORITY) or "0"
    problems = priority_problems(priority)
    try:
        if not problems:
            created = plane.create(settings, priority=int(priority))
            return see(f"/studies/{created.name}", "created")
        StudyConfig.from_options(settings)
    except ConfigError as error:
        problems += error.problems
    except StudyExistsError as error:
        problems.append(Problem(field="name", value=sent.one("name"), rule=error.message))
    found = start_form.by_field(problems)
    return _form(request, plane, start_form.shown(sent), found, HTTPStatus.UNPROCESSABLE_ENTITY)


@router.post("/new/check")
def check(plane: Plane, sent: Sent) -> Response:
    """The command and the file that mean the same as the form, and what is wrong with it."""
    problems = priority_problems(sent.one(PRIORITY) or "0")
    try:
        config = StudyConfig.from_options(start_form.settings_of(sent))
    except ConfigError as error:
        return JSONResponse({"errors": start_form.by_field([*problems, *error.problems])})
    if rule := find_name_problem(config.name):
        problems.append(Problem(field="name", value=config.name, rule=rule))
    elif _exists(plane, config.name):
        problems.append(Problem(field="name", value=config.name, rule="is the name of another study"))
    same = {"command": search_command(config), "toml": to_toml(config)}
    return JSONResponse({"errors": start_form.by_field(problems), **same})


def _form(
    request: Request,
    plane: ControlPlane,
    values: dict[str, Any],
    problems: dict[str, list[str]],
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    return render(
        request.scope,
        "new_study.html",
        status=status,
        fields=start_form.fields(),
        basics=start_form.BASICS,
        groups=list(start_form.groups()),
        values=values,
        problems=problems,
        same=_same(values) if not problems else None,
        datasets=plane.datasets.list(),
        lowest=LOWEST,
        highest=HIGHEST,
    )


def _same(values: dict[str, Any]) -> dict[str, str]:
    """The command and the file that mean the same as the form at first."""
    sent = SentForm({name: value if isinstance(value, list) else [value] for name, value in values.items()})
    config = StudyConfig.from_options(start_form.settings_of(sent))
    return {"command": search_command(config), "toml": to_toml(config)}


def _exists(plane: ControlPlane, name: str) -> bool:
    try:
        plane.state(name)
    except StudyNotFoundError:
        return False
    return True


def _free_name(plane: ControlPlane, prefix: str = "study-") -> str:
    taken = {each.name for each in plane.studies()}
    return next(name for number in count(1) if (name := f"{prefix}{number}") not in taken)
