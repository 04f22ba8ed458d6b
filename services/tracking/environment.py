"""The environment that every MLflow process of convscout runs in, client or server."""

from __future__ import annotations

import os

CLIENT = {
    # a dead server must fail a call at once: MLflow's own defaults block 245 s, and its retries of a
    # lost answer create runs twice; the mirror retries by itself
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # a busy server takes seconds for a page of runs
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where `--json` writes
    "MLFLOW_UV_AUTO_DETECT": "false",  # else a model carries the uv.lock of the working directory
}
SERVER = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def prepare_client() -> None:
    """Set what is not set yet; MLflow reads some of it when it is imported, so this comes first."""
    for name, value in CLIENT.items():
        os.environ.setdefault(name, value)


def server_address() -> str:
    """The tracking server that the environment names, or empty: then MLflow lies in the home."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return uri if uri.startswith(("http://", "https://")) else ""
