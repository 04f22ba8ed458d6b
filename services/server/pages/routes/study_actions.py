"""What the buttons of a study do."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response

from convscout.search_space.errors import ConfigError, ConvscoutError, Problem, StudyNotFoundError
from convscout.search_space.knobs import Override, read_scalar
from convscout.services.control.plane import ControlPlane
from convscout.services.server.dependencies import Plane
from convscout.services.server.pages.flash import see
from convscout.services.server.pages.form_data import Sent, SentForm
from convscout.services.server.pages.priority_field import PRIORITY, priority_problems
from convscout.services.server.pages.routes.study import study_page
from convscout.services.server.path_params import StudyPath

router = APIRouter(include_in_schema=False)
_GRANTED = ("time", "trials")


@router.post("/studies/{name}/pause")
def pause(request: Request, plane: Plane, name: StudyPath) -> Response:
    """Let it rest."""
    return _redirect_done(request, plane, name, "paused", lambda: plane.pause(name))


@router.post("/studies/{name}/resume")
def resume(request: Request, plane: Plane, name: StudyPath) -> Response:
    """Let it go on."""
    return _redirect_done(request, plane, name, "resumed", lambda: plane.resume(name))


@router.post("/studies/{name}/stop")
def stop(request: Request, plane: Plane, name: StudyPath) -> Response:
    """End its run."""
    return _redirect_done(request, plane, name, "stopped", lambda: plane.stop(name))


@router.post("/studies/{name}/delete")
def delete(request: Request, plane: Plane, name: StudyPath) -> Response:
    """Delete it; for a while it can be brought back."""
    return _redirect_done(request, plane, name, "deleted", lambda: plane.delete(name), leads_to="/")


@router.post("/studies/{name}/restore")
def restore(plane: Plane, name: StudyPath) -> Response:
    """Bring it back."""
    plane.restore(name)
    return see(f"/studies/{name}", "restored")


@router.post("/studies/{name}/extend")
def extend(request: Request, plane: Plane, name: StudyPath, sent: Sent) -> Response:
    """Grant it more time or trials."""

    def act() -> None:
        granted = {each: f"+{sent.one(each).removeprefix('+')}" for each in _GRANTED if sent.one(each)}
        if not granted:
            raise ConfigError(
                [Problem(field="budget.time", value=None, rule="say how much more time or trials")]
            )
        plane.extend(name, granted)

    return _redirect_done(request, plane, name, "extended", act, sent)


@router.post("/studies/{name}/enqueue")
def enqueue(request: Request, plane: Plane, name: StudyPath, sent: Sent) -> Response:
    """Let a trial made by hand be the next."""

    def act() -> None:
        settings: dict[str, Override] = {"family": sent.one("family")} if sent.one("family") else {}
        plane.enqueue(name, settings | _knobs(sent.one("knobs")))

    return _redirect_done(request, plane, name, "enqueued", act, sent)


@router.post("/studies/{name}/priority")
def prioritise(request: Request, plane: Plane, name: StudyPath, sent: Sent) -> Response:
    """Let it have its turn sooner or later."""

    def act() -> None:
        text = sent.one(PRIORITY)
        if problems := priority_problems(text):
            raise ConfigError(problems)
        plane.change(name, {}, priority=int(text))

    return _redirect_done(request, plane, name, "prioritised", act, sent)


def _redirect_done(
    request: Request,
    plane: ControlPlane,
    name: str,
    said: str,
    act: Callable[[], object],
    sent: SentForm | None = None,
    leads_to: str = "",
) -> Response:
    """Lead to ``leads_to``, or to the study's page, once ``act`` was done.

    Else show that page with the reason and with what was ``sent``.
    """
    try:
        act()
    except StudyNotFoundError:
        raise
    except ConvscoutError as error:
        found = error.problems if isinstance(error, ConfigError) else ()
        rules = [f"{each.field}: {each.rule}" for each in found] or [error.message]
        again = (
            {field: sent.one(field) for field in ("time", "trials", "family", "knobs", PRIORITY)}
            if sent
            else {}
        )
        action = request.url.path.rpartition("/")[2]
        status = HTTPStatus.UNPROCESSABLE_ENTITY if found else HTTPStatus.CONFLICT
        return study_page(request, plane, name, problems={action: rules}, sent=again, status=status)
    return see(leads_to or f"/studies/{name}", said)


def _knobs(text: str) -> dict[str, Override]:
    """The knobs of lines such as ``resnet.width = 32``. Raises ``ConfigError``."""
    found: dict[str, Override] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = line.partition("=")
        if not equals:
            raise ConfigError(
                [Problem(field=line[:60], value=line, rule="must be a line such as resnet.width = 32")]
            )
        found[name.strip().strip('"')] = read_scalar(value.strip())
    return found
