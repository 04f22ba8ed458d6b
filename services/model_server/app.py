"""The routes of the model server, as a FastAPI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from convscout.search_space.errors import Problem
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.http.measured import Measured
from convscout.services.http.problems import MEDIA_TYPE, HTTPProblem
from convscout.services.model_server.limits import Batching, ServingLimits
from convscout.services.model_server.model_service import ModelService
from convscout.services.model_server.page import POLICY, page
from convscout.services.model_server.token_auth import Guarded
from convscout.services.model_server.uploads import FORM, Upload, read_all, read_one
from convscout.services.schemas.predictions import Answer

ROUTES = {
    "GET /": "what this server knows: HTML for a browser, JSON for others",
    "POST /predict": "one picture, as the body or as the file of a form; ?top=3 says how many classes to tell",
    "POST /predict/batch": "several pictures as the files of one form",
    "GET /healthz": "whether the model is loaded",
    "GET /metrics": "counts and times, for Prometheus",
    "GET /openapi.json": "the same for programs, in OpenAPI's words",
}
_KINDS = ("image/png", "image/jpeg", "image/webp", "image/bmp", "application/octet-stream")
_BYTES = {"type": "string", "format": "binary"}


class Item(BaseModel):
    """What became of one picture of several: ``top`` or ``problem``."""

    name: str = Field(description="What the file was called.")
    top: dict[str, float] | None = None
    problem: dict[str, Any] | None = Field(
        default=None, description="As RFC 9457 has it, why there is no answer."
    )


class Answers(BaseModel):
    """What became of each picture, in the order they came in."""

    predictions: list[Item]


def _form(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {FORM: {"schema": {"type": "object", "properties": {name: schema}, "required": [name]}}}


def _takes(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


_ONE = _takes({kind: {"schema": _BYTES} for kind in _KINDS} | _form("picture", _BYTES))
_SEVERAL = _takes(_form("pictures", {"type": "array", "items": _BYTES}))
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"description": "A problem, as RFC 9457 has it.", "content": {MEDIA_TYPE: {}}}
}

router = APIRouter(responses=_PROBLEMS)


def _service(request: Request) -> ModelService:
    return cast(ModelService, request.app.state.service)


Service = Annotated[ModelService, Depends(_service)]
Top = Annotated[int, Query(ge=1, le=1000, description="How many classes to tell.")]


@router.post("/predict", response_model=Answer, openapi_extra=_ONE)
async def predict(request: Request, service: Service, top: Top = 3) -> Answer:
    """The most probable classes of one picture."""
    with service.admit(1):
        return Answer(top=await service.top(await read_one(request, service.limits), top))


@router.post(
    "/predict/batch", response_model=Answers, response_model_exclude_none=True, openapi_extra=_SEVERAL
)
async def predict_batch(request: Request, service: Service, top: Top = 3) -> Answers:
    """The most probable classes of each of several pictures; one that cannot be read has a problem instead."""
    with service.admit(1):
        uploads = await read_all(request, service.limits)
    with service.admit(len(uploads)):
        items = await asyncio.gather(*(_item(service, upload, top) for upload in uploads))
    return Answers(predictions=items)


@router.get("/healthz")
async def healthz(service: Service) -> dict[str, str | int]:
    """Whether the model is loaded."""
    return {"status": "ok", "classes": len(service.model.class_names)}


@router.get("/metrics", response_class=Response)
async def metrics(service: Service) -> Response:
    """Counts and times, for Prometheus."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/")
async def about(request: Request, service: Service) -> Response:
    """What this server knows: HTML for a browser, JSON for others."""
    model, token = service.model, request.app.state.token
    said = {
        "classes": model.class_names,
        "image_size": model.image_size,
        "in_channels": model.in_channels,
        "limits": asdict(service.limits),
        "routes": ROUTES,
    }
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(page(said, form=not token), headers={"Content-Security-Policy": POLICY})
    return JSONResponse(said)


async def _item(service: ModelService, upload: Upload, top: int) -> Item:
    try:
        return Item(name=upload.name, top=await service.top(upload.content, top))
    except HTTPProblem as refusal:
        return Item(name=upload.name, problem=refusal.to_dict())


def make_app(
    model: ExportedModel,
    limits: ServingLimits | None = None,
    batching: Batching | None = None,
    token: str = "",
) -> FastAPI:
    """The application that answers for ``model``; with a ``token``, only those who know it."""
    service = ModelService(model, limits or ServingLimits(), batching or Batching())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    # no pages of documentation, as theirs load scripts from elsewhere
    app = FastAPI(title="convscout model server", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.service, app.state.token = service, token
    app.include_router(router)
    app.add_exception_handler(HTTPProblem, _refuse)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(RequestValidationError, _invalid)
    if token:
        app.add_middleware(Guarded, token=token)
    app.add_middleware(Measured, metrics=service.metrics)  # the last one added is the first to be passed
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPProblem)
    return error.response()


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path}"
    problem = Problem(field="route", value=asked, rule=f"must be one of {', '.join(ROUTES)}")
    return HTTPProblem(HTTPStatus(error.status_code), [problem], headers=error.headers or {}).response()


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return HTTPProblem(HTTPStatus.UNPROCESSABLE_ENTITY, _problems(error.errors())).response()


def _problems(errors: Sequence[Any]) -> list[Problem]:
    return [
        Problem(field=".".join(map(str, each["loc"])), value=each.get("input"), rule=each["msg"])
        for each in errors
    ]
