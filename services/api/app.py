"""The service as one FastAPI application: the REST API, the pages, and the guards before both."""

from __future__ import annotations

import pkgutil
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from fastapi import APIRouter, Depends, FastAPI
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.staticfiles import StaticFiles

from services.api import routes
from services.api.answers import answer, answer_errors
from services.api.declared import DeclaredApi
from services.api.mlflow_proxy import mlflow_router
from services.api.security.admitted import Admitted
from services.api.security.audited import Audited
from services.api.security.bodies import Bodies, declared_content
from services.api.security.csrf import Csrf
from services.api.security.headers import Headers
from services.api.security.hosts import Hosts
from services.api.security.identified import Credentials, Identified
from services.api.security.origins import Origins
from services.api.security.paced import Paced
from services.api.shared import Shared, SharedAnswers
from services.api.study_feeds import study_feeds
from services.control.plane import ControlPlane
from services.http.measured import Measured
from services.http.metrics import RequestMetrics
from services.kept_ui import KeptUi
from services.web import routes as pages

_STATIC = Path(__file__).parents[1] / "web" / "static"


def make_app(plane: ControlPlane, token: str, hosts: Collection[str] = ()) -> FastAPI:
    """The application over ``plane`` for those who know ``token``.

    ``hosts`` are the names by which it is known besides those of this machine. Each module of ``services.api.routes``
    and of ``services.web.routes`` adds its ``router``.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextmanager_in_threadpool(plane.running()):
            yield

    app = DeclaredApi(
        title="convscout",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # /metrics tells what there is to tell
        lifespan=lifespan,
        dependencies=[Depends(declared_content)],
    )
    app.state.plane, app.state.settings = plane, plane.settings
    app.state.metrics, app.state.credentials = RequestMetrics(), Credentials(token, plane.store)
    app.state.answers = SharedAnswers()
    app.state.feeds = study_feeds(plane, told=app.state.answers.forget)
    for package in (routes, pages):
        for router in _routers(package):
            app.include_router(router)
    app.include_router(mlflow_router(KeptUi(plane.home)))
    app.mount("/static", StaticFiles(directory=_STATIC))
    answer_errors(app)
    _guard(app, plane, hosts)
    return app


def _guard(app: FastAPI, plane: ControlPlane, hosts: Collection[str]) -> None:
    """What every request passes before its route, from the last line to the first."""
    app.add_middleware(Shared, answers=app.state.answers)
    app.add_middleware(Csrf)
    app.add_middleware(Bodies)
    app.add_middleware(Audited, store=plane.store)
    app.add_middleware(Admitted)
    app.add_middleware(Paced, a_minute=plane.settings.requests_per_minute)
    app.add_middleware(Identified, credentials=app.state.credentials)
    app.add_middleware(Origins)
    app.add_middleware(Hosts, allowed=hosts)
    app.add_middleware(Measured, metrics=app.state.metrics, answer=answer)
    app.add_middleware(Headers)  # on whatever any of them answers


def _routers(package: ModuleType) -> Iterator[APIRouter]:
    for module in pkgutil.iter_modules(package.__path__):
        yield import_module(f"{package.__name__}.{module.name}").router
