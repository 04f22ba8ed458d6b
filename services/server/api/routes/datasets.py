"""Routes of datasets: what there is, bringing one, looking at it, removing it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.responses import FileResponse

from convscout.search_space.errors import DatasetError
from convscout.services.config.names import NAME
from convscout.services.control.datasets.catalog import Datasets
from convscout.services.control.datasets.intake import receiving
from convscout.services.control.datasets.uploads import Incoming
from convscout.services.http.problems import HTTPProblem
from convscout.services.model_server.uploads import FORM
from convscout.services.schemas.datasets import DatasetList, DatasetView
from convscout.services.server.api.multipart import BODIES, receive
from convscout.services.server.api.openapi import problems
from convscout.services.server.dependencies import Plane
from convscout.services.server.errors import refusal_of
from convscout.services.server.middleware.body_limits import bounds_its_body
from convscout.trials.data.data_check import DataReport

PREFIX = "/api/v1/datasets"
_FILE = {"type": "string", "format": "binary", "description": "A zip of image folders, or an npz file."}
_NAME_FIELD = {"type": "string", "pattern": f"^{NAME}$", "example": "flowers"}
_FORM_SCHEMA = {
    "type": "object",
    "properties": {"name": _NAME_FIELD, "file": _FILE},
    "required": ["name", "file"],
}
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {FORM: {"schema": _FORM_SCHEMA}} | {kind: {"schema": _FILE} for kind in BODIES},
    }
}
_EXAMPLE = {
    "num_images": 200,
    "classes": ["daisy", "rose"],
    "image_size": 64,
    "bytes": 1_830_112,
    "created_at": "2026-11-22T10:00:00Z",
    "num_skipped": 1,
    "skipped": [{"path": "readme.txt", "reason": "is not a PNG, JPEG, WebP or BMP file"}],
    "name": "flowers",
    "kind": "uploaded",
    "data": "folder:/srv/convscout/datasets/flowers",
    "about": "200 images of 2 classes, uploaded to the service",
}


def _example(value: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"example": value}}}


async def _add(datasets: Datasets, incoming: Incoming, name: str) -> DatasetView:
    """``datasets.add``, which is waited for whatever happens: nothing may be removed from under it."""
    working = asyncio.ensure_future(asyncio.to_thread(datasets.add, incoming, name))
    try:
        return await asyncio.shield(working)
    finally:
        if not working.done():
            await asyncio.wait([working])


router = APIRouter(prefix=PREFIX, tags=["datasets"])


Name = Annotated[str, Path(description="Of a dataset, as the list has it.", examples=["flowers"])]


@router.get(
    "",
    summary="List datasets",
    response_model=DatasetList,
    responses={200: _example({"items": [_EXAMPLE]}), **problems()},
)
def list_datasets(plane: Plane) -> DatasetList:
    """Built-in ones, uploaded ones, and those under the directories that the service was started with."""
    return DatasetList(items=plane.datasets.list())


@router.post(
    "",
    summary="Upload a dataset",
    status_code=HTTPStatus.CREATED,
    response_model=DatasetView,
    responses={201: _example(_EXAMPLE), **problems(409, 503, 507, body=True)},
    openapi_extra=_UPLOAD,
)
@bounds_its_body
async def upload_dataset(
    request: Request,
    response: Response,
    plane: Plane,
    name: Annotated[
        str | None,
        Query(
            json_schema_extra={"pattern": f"^{NAME}$"},  # refused with the body, where it is
            description="What to call it, where the file is the body.",
            examples=["flowers"],
        ),
    ] = None,
) -> DatasetView:
    """A zip of image folders, one for each class, or an npz file; what it is, its content tells.

    The answer comes once all was unpacked and looked at.
    """
    try:
        # in threads, as removing many files takes its time
        async with contextmanager_in_threadpool(plane.datasets.incoming()) as incoming:
            with receiving(incoming) as receiver:
                called = await receive(request, receiver, name or "", plane.datasets.refuse_name)
            view = await _add(plane.datasets, incoming, called)
    except (HTTPProblem, DatasetError) as error:
        # the rest of the body may not have been read, and is not the next request
        refusal = refusal_of(error)
        raise replace(refusal, headers={**refusal.headers, "Connection": "close"}) from None
    response.headers["Location"] = f"{PREFIX}/{view.name}"
    return view


@router.get(
    "/{name}",
    summary="Get a dataset",
    response_model=DatasetView,
    responses={200: _example(_EXAMPLE), **problems(404)},
)
def get_dataset(plane: Plane, name: Name) -> DatasetView:
    """What is known of it without reading its images."""
    return plane.datasets.get(name)


@router.get(
    "/{name}/check",
    summary="Check a dataset",
    response_model=DataReport,
    responses=problems(404, 503, 507),
)
def check_dataset(plane: Plane, name: Name) -> DataReport:
    """How many images each class has, which occur twice, which files are bad; large images are compared at 64×64.

    The first time it takes seconds, or minutes where the images have to be fetched; then it is remembered.
    """
    return plane.datasets.check(name)


@router.get(
    "/{name}/preview",
    summary="See a dataset",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}, "description": "A PNG."}, **problems(404, 503, 507)},
)
def preview_dataset(plane: Plane, name: Name) -> FileResponse:
    """A picture with a few training images of every class."""
    return FileResponse(plane.datasets.preview(name), media_type="image/png")


@router.delete(
    "/{name}",
    summary="Delete an uploaded dataset",
    status_code=HTTPStatus.NO_CONTENT,
    responses=problems(404, 409, 503, 507),
)
def delete_dataset(plane: Plane, name: Name) -> None:
    """For good. Refused while a study was started on it."""
    plane.datasets.delete(name)
