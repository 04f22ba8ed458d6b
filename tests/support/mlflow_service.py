"""The proxy to MLflow in an application of its own, in a process of its own: ``python -m … HOME``."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from convscout.services.config.home import Home
from convscout.services.http.measured import Measured
from convscout.services.http.metrics import RequestMetrics
from convscout.services.http.problems import HTTPProblem
from convscout.services.http.server import listening, run
from convscout.services.server.mlflow.process import KeptUi
from convscout.services.server.mlflow.proxy import mlflow_router


def make_app(home: Home) -> FastAPI:
    """The proxy, what turns refusals into answers, and pages for links to lead to."""
    app = FastAPI()
    app.include_router(mlflow_router(KeptUi(home)))
    app.add_middleware(Measured, metrics=RequestMetrics())

    @app.exception_handler(HTTPProblem)
    async def refused(request: Request, refusal: HTTPProblem) -> Response:
        return refusal.response()

    @app.get("/studies/{path:path}")
    async def page(path: str) -> Response:
        return HTMLResponse(f"<!doctype html><title>{path}</title>")

    return app


@contextmanager
def mlflow_service(home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address, and its process, which is asked to end and must end with 0."""
    command = [sys.executable, "-m", __name__, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


if __name__ == "__main__":
    with listening("127.0.0.1", 0, "") as (listener, url):
        run(make_app(Home(Path(sys.argv[1]))), listener, lambda: print(url, flush=True))
