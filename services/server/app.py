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

from convscout.services.control.plane import ControlPlane
from convscout.services.http.measured import Measured
from convscout.services.http.metrics import RequestMetrics
from convscout.services.server.api import routes
from convscout.services.server.api.openapi import DeclaredApi
from convscout.services.server.api.study_events import study_feeds
from convscout.services.server.errors import answer, answer_errors
from convscout.services.server.middleware.allowed_hosts import Hosts
from convscout.services.server.middleware.audit_log import AuditLog
from convscout.services.server.middleware.authentication import Credentials, Identified
from convscout.services.server.middleware.authorization import Admitted
from convscout.services.server.middleware.body_limits import Bodies, declare_content
from convscout.services.server.middleware.csrf import Csrf
from convscout.services.server.middleware.rate_limit import Paced
from convscout.services.server.middleware.response_cache import Shared, SharedAnswers
from convscout.services.server.middleware.same_origin import Origins
from convscout.services.server.middleware.security_headers import SecurityHeaders
from convscout.services.server.mlflow.process import KeptUi
from convscout.services.server.mlflow.proxy import mlflow_router
from convscout.services.server.pages import routes as pages

_STATIC = Path(__file__).parent / "pages" / "static"


def make_app(plane: ControlPlane, token: str, hosts: Collection[str] = ()) -> FastAPI:
    """The application over ``plane`` for those who know ``token``.

    ``hosts`` are the names by which it is known besides those of this machine. Each module of
    ``convscout.services.server.api.routes`` and of ``convscout.services.server.pages.routes`` adds its ``router``.
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
        dependencies=[Depends(declare_content)],
    )
    app.state.plane, app.state.settings = plane, plane.settings
    app.state.metrics, app.state.credentials = RequestMetrics(), Credentials(token, plane.store)
    app.state.answers = SharedAnswers()
    app.state.feeds = study_feeds(plane, notify=app.state.answers.forget)
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
    app.add_middleware(AuditLog, store=plane.store)
    app.add_middleware(Admitted)
    app.add_middleware(Paced, a_minute=plane.settings.requests_per_minute)
    app.add_middleware(Identified, credentials=app.state.credentials)
    app.add_middleware(Origins)
    app.add_middleware(Hosts, allowed=hosts)
    app.add_middleware(Measured, metrics=app.state.metrics, answer=answer)
    app.add_middleware(SecurityHeaders)  # on whatever any of them answers


def _routers(package: ModuleType) -> Iterator[APIRouter]:
    for module in pkgutil.iter_modules(package.__path__):
        yield import_module(f"{package.__name__}.{module.name}").router
