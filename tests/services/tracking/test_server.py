"""The ready settings of a tracking server in ``mlflow/``: safe, in step with the code, and they work."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from convscout.services.tracking.audit import differences
from convscout.services.tracking.environment import SERVER
from convscout.services.tracking.projector import sync
from convscout.services.tracking.store import TrackingStore
from convscout.trials.config import TrialState
from tests.support.places import ROOT
from tests.support.postgresql import postgresql
from tests.support.recorded_study import VALIDATION, recorded_study

FOLDER = ROOT / "mlflow"
HOST = "127.0.0.1"


def settings() -> dict[str, str]:
    lines = (FOLDER / "server.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return found


def unit() -> list[tuple[str, str]]:
    lines = (FOLDER / "mlflow.service").read_text().splitlines()
    return [
        (key, value) for key, sign, value in (line.partition("=") for line in lines) if sign and key[0] != "#"
    ]


@contextmanager
def running(command: str, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """The server that ``command`` starts, on a free port of this machine; its URL once it answers."""
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    words = shlex.split(command)
    words[words.index("--host") + 1], words[words.index("--port") + 1] = HOST, str(port)
    words[0:1] = [sys.executable, "-m", "mlflow"]
    with log.open("wb") as told:
        process = subprocess.Popen(
            words, env={**os.environ, **environment}, cwd=log.parent, stdout=told, stderr=told
        )
        try:
            deadline = time.monotonic() + 150
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.2)
            else:
                raise AssertionError(log.read_text()[-2000:])
            yield f"http://{HOST}:{port}"
        finally:
            process.terminate()
            process.wait(60)


def test_the_folder_hides_no_package_and_says_what_the_code_says() -> None:
    assert not list(FOLDER.glob("**/*.py"))
    assert settings() == SERVER


def test_nothing_is_offered_beyond_this_machine() -> None:
    services = compose()["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published and all(port.startswith(f"{HOST}:") for port in published)
    assert "ports" not in services["database"]
    assert f"--host {HOST} " in dict(unit())["ExecStart"]


def test_both_run_with_the_safe_settings() -> None:
    assert compose()["services"]["tracking"]["env_file"] == "server.env"
    assert ("EnvironmentFile", "/etc/mlflow/server.env") in unit()
    for command in (compose()["services"]["tracking"]["command"], dict(unit())["ExecStart"]):
        assert "--disable-security-middleware" not in command


def test_the_compose_file_needs_a_password_and_holds_none() -> None:
    services = compose()["services"]
    assert services["database"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert (
        ":${POSTGRES_PASSWORD}@database/" in services["tracking"]["environment"]["MLFLOW_BACKEND_STORE_URI"]
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["compose", "unit"])
def test_a_server_with_these_settings_takes_a_study_and_keeps_its_guard(tmp_path: Path, kind: str) -> None:
    artifacts = tmp_path / "artifacts"
    environment = {**settings(), "MLFLOW_ARTIFACTS_DESTINATION": str(artifacts)}
    if kind == "unit":
        environment["MLFLOW_BACKEND_STORE_URI"] = f"sqlite:///{tmp_path / 'mlflow.db'}"
        command = dict(unit())["ExecStart"]
        check(tmp_path, command, environment)
    else:
        tracking = compose()["services"]["tracking"]
        scheme = tracking["environment"]["MLFLOW_BACKEND_STORE_URI"].partition(":")[0]
        with postgresql() as database:
            database.create_database("mlflow")
            environment["MLFLOW_BACKEND_STORE_URI"] = database.url("mlflow", scheme)
            check(tmp_path, tracking["command"], environment)
    assert list(artifacts.rglob("timeline.png")) and list(artifacts.rglob("best-*"))


def check(directory: Path, command: str, environment: Mapping[str, str]) -> None:
    """A study is mirrored to such a server; a request under a foreign name is turned away."""
    study = recorded_study(directory / "home")
    study.train(0, state=TrialState.COMPLETED)
    study.train(1, epochs=2)
    with running(command, environment, directory / "log") as url:
        store = TrackingStore(uri=url, artifacts=None)
        assert sync(study, store, VALIDATION) == 2
        assert differences(study, store) == []
        foreign = urllib.request.Request(
            f"{url}/api/2.0/mlflow/experiments/search", headers={"Host": "evil.example"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(foreign, timeout=60)
        refused.value.close()
        assert refused.value.code == 403
