"""The user interface over a home: it answers, serves as a tracking server, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path

import psutil
import pytest

from convscout.search_space.errors import UserError
from convscout.services.tracking.audit import differences
from convscout.services.tracking.projector import sync
from convscout.services.tracking.runs import StudyRuns
from convscout.services.tracking.store import TrackingStore
from convscout.services.tracking.ui import UiServer
from convscout.trials.config import TrialState
from tests.support.recorded_study import VALIDATION, recorded_study

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SERVE = """
import sys
from convscout.services.config.home import Home
from convscout.services.tracking.ui import open_ui
open_ui(Home.at(sys.argv[1]), port=int(sys.argv[2]))
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        content: bytes = answer.read()
    return content


def page_text(url: str, profile: Path) -> str:
    """What a person sees at ``url``: the document after its scripts ran."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    options = ["--window-size=1400,900", "--virtual-time-budget=20000", "--dump-dom", url]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=True, timeout=90).stdout


@pytest.mark.slow
def test_shows_runs_and_plots_and_takes_what_a_remote_search_sends(tmp_path):
    study = recorded_study(tmp_path / "home")
    study.train(0, state=TrialState.COMPLETED)
    study.train(1, epochs=2)
    with UiServer(study.home, port=free_port()) as server:
        remote = TrackingStore(uri=server.url, artifacts=None)
        sync(study, remote, VALIDATION)
        assert differences(study, remote) == []
        client = remote.client()
        runs = {
            run.info.run_name: run
            for run in client.search_runs([StudyRuns(study, remote, None).experiment_id])
        }
        assert runs.keys() == {"demo", f"#0000 {study.records[0].family}", f"#0001 {study.records[1].family}"}
        run_id = runs[f"#0000 {study.records[0].family}"].info.run_id
        plot = get(f"{server.url}/get-artifact?path=learning_curve.png&run_uuid={run_id}")
        assert plot.startswith(b"\x89PNG")
        if CHROMIUM is not None:
            run = runs["demo"].info
            parent = f"{server.url}/#/experiments/{run.experiment_id}/runs/{run.run_id}"
            assert f"#0000 {study.records[0].family}" in page_text(parent, tmp_path / "profile")


def test_a_taken_port_is_named_with_the_option(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} is taken.*--port") as raised:
            UiServer(recorded_study(tmp_path).home, port=port).__enter__()
    assert raised.value.exit_code == 2
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_control_c_stops_it_without_orphans(tmp_path):
    port = free_port()
    command = [sys.executable, "-c", SERVE, str(tmp_path), str(port)]
    # a shell starts its background jobs deaf to Ctrl-C, and so would be what this test starts
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=listening) as program:
        assert program.stdout is not None
        assert f"http://127.0.0.1:{port}/" in program.stdout.readline()
        assert json.loads(
            get(f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default")
        )
        children = psutil.Process(program.pid).children(recursive=True)
        os.kill(program.pid, signal.SIGINT)
        try:
            assert program.wait(60) == 0
        finally:
            program.kill()
    assert children and not any(child.is_running() for child in children)
