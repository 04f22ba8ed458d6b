"""Results of a study: ensembles within limits, their front, exports, predictions, the report; jobs that make them."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from convscout.search_space.errors import UnknownNameError
from convscout.services.control.plane import ControlPlane
from convscout.services.control.results import STUDYS_OWN, job_view
from convscout.services.inference.predict import best
from convscout.services.model_server.limits import ServingLimits
from convscout.services.model_server.uploads import FORM, decode, read_one
from convscout.services.schemas.predictions import Answer
from convscout.services.schemas.studies import ExportView, JobView
from convscout.services.server.api.bodies import Body
from convscout.services.server.api.idempotency import Once
from convscout.services.server.api.openapi import problems
from convscout.services.server.dependencies import Plane
from convscout.services.server.middleware.body_limits import bounds_its_body
from convscout.services.server.path_params import ExportPath, JobPath, StudyPath

router = APIRouter(prefix="/api/v1/studies/{name}", tags=["results"])
_LIMITS = ServingLimits()
_BYTES = {"type": "string", "format": "binary"}
_PICTURE = {
    "requestBody": {
        "required": True,
        "content": {
            **{
                kind: {"schema": _BYTES}
                for kind in ("image/png", "image/jpeg", "image/webp", "image/bmp", "application/octet-stream")
            },
            FORM: {"schema": {"type": "object", "properties": {"picture": _BYTES}, "required": ["picture"]}},
        },
    }
}
# a report is made of what people and MLflow wrote; whatever it holds, it runs nothing
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
)

Cost = Literal["params", "latency"]


class RequestedLimits(Body):
    """What the members of an ensemble may be, together."""

    strategy: str | None = Field(default=None, description="How they are selected.", examples=["greedy"])
    size: int | None = Field(default=None, description="Most members.", examples=[3])
    max_params: int | str | None = Field(default=None, description="300k, 1.5M", examples=["300k"])
    max_bytes: int | str | None = Field(default=None, description="Of all weights: 5MB", examples=["5MB"])
    max_latency: float | str | None = Field(default=None, description="For one image: 5ms", examples=["5ms"])

    @property
    def given(self) -> dict[str, Any]:
        """Those that were said."""
        return self.model_dump(exclude_none=True, include=set(RequestedLimits.model_fields))


class NewExport(RequestedLimits):
    """An export to make: of the study's ensemble, or of another one within limits."""

    formats: list[str] = Field(
        default_factory=list, description="The usual ones unless given.", examples=[["onnx"]]
    )


class NewFront(Body):
    """A front to find."""

    cost: Cost = "params"


class FrontPointView(BaseModel):
    """The best ensemble at a cost."""

    model_config = ConfigDict(extra="allow")
    cost: float = Field(description="Parameters, or milliseconds for one image.")


class Front(BaseModel):
    """The best ensembles at rising costs, each better on the validation images than all cheaper ones."""

    study: str
    cost: str = Field(description="What the cost is.")
    front: list[FrontPointView]


class Exports(BaseModel):
    """The exports of a study."""

    items: list[ExportView]


@router.post("/ensemble", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409, 503, body=True))
def select_ensemble(plane: Plane, name: StudyPath, once: Once, limits: RequestedLimits) -> JobView:
    """Select an ensemble of the study's trials within limits, without training. The study keeps its own."""
    plane.ledger(name)
    return once(lambda: plane.results.select(name, limits.given), JobView)


@router.post("/ensemble/front", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409, 503, body=True))
def find_front(plane: Plane, name: StudyPath, once: Once, body: NewFront) -> JobView:
    """Look for the best ensembles at each cost."""
    plane.ledger(name)
    return once(lambda: plane.results.front(name, body.cost), JobView)


@router.get("/ensemble/front", responses=problems(404, 409, 503))
def get_front(plane: Plane, name: StudyPath, cost: Cost = "params") -> Front:
    """The front that was found last."""
    plane.ledger(name)
    found = plane.results.latest_front(name, cost)
    if found is None:
        raise UnknownNameError(
            f"no front of study {name!r} by {cost} was looked for; POST the same address first"
        )
    return Front(**found)


@router.post("/exports", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409, 503, body=True))
def create_export(plane: Plane, name: StudyPath, once: Once, body: NewExport) -> JobView:
    """Export an ensemble. The id of the job is that of the export."""
    plane.ledger(name)
    return once(lambda: plane.results.export(name, tuple(body.formats), body.given), JobView)


@router.get("/exports", responses=problems(404, 409, 503))
def list_exports(plane: Plane, name: StudyPath) -> Exports:
    """The exports that there are."""
    plane.ledger(name)
    return Exports(items=plane.results.exports(name))


@router.get(
    "/exports/{export}/download",
    response_class=FileResponse,
    responses=problems(404, 409, 503)
    | {200: {"content": {"application/zip": {"schema": _BYTES}}, "description": "The export."}},
)
def download_export(plane: Plane, name: StudyPath, export: ExportPath) -> FileResponse:
    """An export as a zip file."""
    plane.ledger(name)
    path = plane.results.archive(name, export)
    return FileResponse(path, media_type="application/zip", filename=path.name)


@router.post("/predict", responses=problems(404, 409, 503, body=True), openapi_extra=_PICTURE)
@bounds_its_body
async def predict(
    request: Request,
    plane: Plane,
    name: StudyPath,
    export: Annotated[
        str, Query(pattern=r"^(study|[0-9a-f-]{1,64})$", description="Of which export.")
    ] = STUDYS_OWN,
    top: Annotated[int, Query(ge=1, le=1000, description="How many classes to tell.")] = 5,
) -> Answer:
    """The most probable classes of one picture."""
    await asyncio.to_thread(plane.ledger, name)
    content = await read_one(request, _LIMITS)
    return await asyncio.to_thread(_answer, plane, name, export, content, top)


@router.post("/report", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409, 503))
def make_report(plane: Plane, name: StudyPath, once: Once) -> JobView:
    """Tell the study as a story."""
    plane.ledger(name)
    return once(lambda: plane.results.report(name), JobView)


@router.get(
    "/report",
    response_class=HTMLResponse,
    responses=problems(404, 409, 503)
    | {
        200: {
            "content": {
                "text/html": {"schema": {"type": "string"}},
                "text/markdown": {"schema": {"type": "string"}},
            }
        }
    },
)
def get_report(
    plane: Plane,
    name: StudyPath,
    form: Annotated[
        Literal["html", "markdown"], Query(alias="format", description="Page or Markdown.")
    ] = "html",
) -> Response:
    """The story of the study that was told last."""
    plane.ledger(name)
    path = plane.results.report_path(name, markdown=form == "markdown")
    if path is None:
        raise UnknownNameError(f"study {name!r} has not been told yet; POST the same address first")
    return Response(
        path.read_bytes(),
        media_type="text/html" if form == "html" else "text/markdown",
        headers={"Content-Security-Policy": _REPORT_POLICY},
    )


@router.get("/jobs/{id}", responses=problems(404, 503))
def get_job(plane: Plane, name: StudyPath, id: JobPath) -> JobView:
    """Something that takes a while: how it stands, and its answer once it is done."""
    job = plane.results.job(id)
    if job.study != name:
        raise UnknownNameError(f"no job {id!r} of study {name!r}")
    return job_view(job)


def _answer(plane: ControlPlane, name: str, export: str, content: bytes, top: int) -> Answer:
    model = plane.results.model(name, export)
    pixels = decode(content, model, _LIMITS)  # (H, W, C)
    (probabilities,) = model.probabilities(pixels[None])  # (1, H, W, C) → (1, K)
    return Answer(top={each.class_name: each.probability for each in best(model, probabilities, top)})
