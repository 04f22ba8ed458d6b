"""Studies: begin, look at, steer and delete them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from convscout.services.control.plane import HIGHEST, LOWEST
from convscout.services.schemas.studies import StudyDetail, StudySummary
from convscout.services.schemas.study_status import StudyStatus
from convscout.services.server.api.bodies import Body
from convscout.services.server.api.etags import TAGGED, answer_with_etag
from convscout.services.server.api.idempotency import Once
from convscout.services.server.api.openapi import problems
from convscout.services.server.api.settings import NewSettings, Settings
from convscout.services.server.dependencies import IfMatch, Page, Plane
from convscout.services.server.path_params import StudyPath

router = APIRouter(prefix="/api/v1/studies", tags=["studies"])

Priority = Annotated[
    int, Field(ge=LOWEST, le=HIGHEST, description="The higher it is, the sooner a study has its turn.")
]
_LOG_BYTES = 200_000


class NewStudy(Body):
    """A study to begin."""

    settings: NewSettings = Field(examples=[{"name": "first", "data": "digits", "time": "2m"}])
    priority: Priority = 0


class StudyChange(Body):
    """What of a study is to be another."""

    settings: Settings = Field(
        default=Settings({}),
        examples=[{"trials": "+20", "space": {"lenet.width": {"low": 4, "high": 16}}}],
    )
    priority: Priority | None = None


class More(Body):
    """What a study is granted in addition."""

    settings: Settings = Field(examples=[{"time": "+10m"}])


class StudyPage(BaseModel):
    """Some of the studies, the latest first."""

    items: list[StudySummary]
    next: str | None = Field(description="The cursor of what comes after it, if anything does.")


@router.get("", responses=problems(503) | TAGGED)
def list_studies(
    request: Request,
    plane: Plane,
    page: Page,
    status: Annotated[list[StudyStatus] | None, Query(description="Only studies that stand so.")] = None,
    deleted: Annotated[bool, Query(description="Those that were deleted and can be restored.")] = False,
) -> StudyPage:
    """The studies, the latest first."""
    found = plane.deleted() if deleted else plane.studies()
    shown, following = page.of([study for study in found if not status or study.status in status])
    return answer_with_etag(request, StudyPage(items=shown, next=following))


@router.post("", status_code=HTTPStatus.CREATED, responses=problems(409, 503, body=True))
def create_study(plane: Plane, once: Once, response: Response, body: NewStudy) -> StudySummary:
    """Let a new study wait for its turn. It begins at once where the machine has room."""

    def make() -> StudySummary:
        return plane.create(body.settings.root, priority=body.priority)

    made = once(make, StudySummary)
    response.headers["Location"] = f"/api/v1/studies/{made.name}"
    return made


@router.get("/{name}", responses=problems(404, 503) | TAGGED)
def get_study(request: Request, plane: Plane, name: StudyPath) -> StudyDetail:
    """All of a study but its trials."""
    return answer_with_etag(request, plane.study(name))


@router.patch("/{name}", responses=problems(404, 409, 412, 503, body=True))
def change_study(plane: Plane, name: StudyPath, if_match: IfMatch, body: StudyChange) -> StudySummary:
    """Change budget, space or priority. A running study hears of it at once; no other one is started by it.

    With `If-Match`, only as long as `version` of the study is that one, in quotes.
    """
    if if_match.tags is not None:
        if_match.require(f'"{plane.study(name).version}"')
    return plane.change(name, body.settings.root, body.priority)


@router.post("/{name}/pause", responses=problems(404, 409, 503))
def pause_study(plane: Plane, name: StudyPath) -> StudySummary:
    """Let each running trial end its epoch, then rest; a study that waits is left out of the queue."""
    return plane.pause(name)


@router.post("/{name}/resume", responses=problems(404, 409, 503))
def resume_study(plane: Plane, name: StudyPath) -> StudySummary:
    """Let a study that does not run wait for its turn, to go on where it was."""
    return plane.resume(name)


@router.post("/{name}/stop", responses=problems(404, 409, 503))
def stop_study(plane: Plane, name: StudyPath) -> StudySummary:
    """End the run of a study now. Every finished epoch is kept, and it can be resumed."""
    return plane.stop(name)


@router.post("/{name}/extend", responses=problems(404, 409, 503, body=True))
def extend_study(plane: Plane, name: StudyPath, more: More) -> StudySummary:
    """Grant a study more time, trials or epochs, and let it go on with them."""
    return plane.extend(name, more.settings.root)


@router.delete("/{name}", responses=problems(404, 409, 503))
def delete_study(plane: Plane, name: StudyPath) -> StudySummary:
    """Delete a study that does not run. Until `deleted_until` it can be restored."""
    return plane.delete(name)


@router.post("/{name}/restore", responses=problems(404, 409, 503))
def restore_study(plane: Plane, name: StudyPath) -> StudySummary:
    """Bring back a study that was deleted."""
    return plane.restore(name)


@router.get("/{name}/log", response_class=PlainTextResponse, responses=problems(404, 503))
def get_log(plane: Plane, name: StudyPath) -> str:
    """What the process of the study's latest run said, its end if that is long."""
    return plane.log(name, _LOG_BYTES)
