"""Rows 14 and 15 of the faults, and 16 for MLflow: a tracking server that is away, slow, failing or forgetful.

The search must not notice (I1), and afterwards one ``sync`` makes ledger and MLflow agree (I4). The server is a
real one, behind a proxy that lets requests fail.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from convscout.services.config.home import Home
from convscout.services.events.events import Event, Notice
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import results, run
from convscout.services.tracking.audit import differences
from convscout.services.tracking.mirror import Mirror
from convscout.services.tracking.projector import Projector, sync
from convscout.services.tracking.source import METRICS_NOTE
from convscout.services.tracking.store import TrackingStore
from convscout.services.tracking.ui import UiServer
from convscout.trials.config import TrialState
from tests.support.http_proxy import HOST, Fault, FaultyProxy
from tests.support.places import ROOT
from tests.support.recorded_study import EPOCHS, VALIDATION, RecordedStudy, recorded_study
from tests.support.studies import bundle_alone, essences, quiet, tiny_config

TRIALS = 4
PROBE = """
import convscout.services.tracking.store
from mlflow import environment_variables as variables
from mlflow.tracking.client import MlflowClient
print(variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(), variables.MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.get(),
      variables.MLFLOW_HTTP_REQUEST_TIMEOUT.get(), variables.MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get())
import sys
try:
    MlflowClient(sys.argv[1]).search_experiments()
except Exception as error:
    print(type(error).__name__)
"""


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real tracking server."""
    port = free_port()
    with UiServer(Home(tmp_path_factory.mktemp("server")), port=port):
        yield port


def grow(study: RecordedStudy, mirror: Mirror) -> None:
    """What a search tells its mirror, from the first epoch to the last trial."""
    for number in range(TRIALS):
        for epochs in range(1, EPOCHS + 1):
            study.train(number, epochs=epochs)
            mirror.touch(number)
            time.sleep(0.02)
        study.train(number, state=TrialState.COMPLETED if number else TrialState.FAILED)
        mirror.touch(number)
    study.notes[METRICS_NOTE] = {"test.accuracy": 0.96}
    mirror.touch_study()


def test_no_call_is_repeated_behind_our_back_or_waits_for_minutes() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    with FaultyProxy(free_port()) as proxy:
        proxy.fault, proxy.share = Fault.ERROR, 1.0
        told = subprocess.run(
            [sys.executable, "-c", PROBE, proxy.url], cwd=ROOT, env=clean, capture_output=True, text=True, check=True
        )  # fmt: skip
        assert told.stdout.split() == ["0", "0", "10", "False", "MlflowException"]
        assert proxy.struck == 1


@pytest.mark.slow
@bundle_alone()
def test_a_server_that_is_away_throughout_costs_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    home, other = Home(tmp_path / "dead"), Home(tmp_path / "alive")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{free_port()}")
    outcome = run.search(tiny_config("away", trials=3), home, listen, time.time())
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert outcome.export.is_dir()
    assert any("MLflow lacks 3 trial(s)" in text and "convscout sync away" in text for text in notices)
    run.search(tiny_config("away", trials=3), other, quiet, time.time())
    assert essences(home.root, "away") == essences(other.root, "away")
    assert results.sync(home.study("away"), quiet) == 3
    assert results.sync(home.study("away"), quiet) == 0
    assert differences(Ledger.open(home.study("away")), TrackingStore.at(home)) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("fault", "share"),
    [
        (Fault.DELAY, 0.2),
        (Fault.ERROR, 0.3),
        (Fault.RESET, 0.3),
        (Fault.LOST_ANSWER, 0.3),
        (Fault.ERROR, 1.0),
    ],
)
def test_whatever_the_server_does_one_sync_mends_it(
    tmp_path: Path, server: int, fault: Fault, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    study = recorded_study(tmp_path, f"study-{fault.replace(' ', '-')}-{share}")
    # longer than a call waits: the server does what the client has given up
    with FaultyProxy(server, delay_s=4.0) as proxy:
        store = TrackingStore(uri=proxy.url, artifacts=None)
        proxy.fault, proxy.share = fault, share
        mirror = Mirror(lambda: Projector(study, store, VALIDATION))
        mirror.start()
        grow(study, mirror)
        mirror.close(15)
        assert proxy.struck
        proxy.heal()
        mirror.close(60)  # its thread, which would have ended with the process, must not meet the sync
        time.sleep(4.5 if fault is Fault.DELAY else 0)  # what is under way still arrives
        sync(study, store, VALIDATION)
        assert differences(study, store) == []
        assert sync(study, store, VALIDATION) == 0
        assert differences(study, store) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_mirror_goes_on_by_itself_once_the_server_is_back(tmp_path: Path, server: int) -> None:
    study = recorded_study(tmp_path, "study-back")
    with FaultyProxy(server) as proxy:
        store = TrackingStore(uri=proxy.url, artifacts=None)
        proxy.fault, proxy.share = Fault.RESET, 1.0
        mirror = Mirror(lambda: Projector(study, store, VALIDATION))
        mirror.start()
        grow(study, mirror)
        deadline = time.monotonic() + 30
        while not mirror.problem and time.monotonic() < deadline:
            time.sleep(0.05)
        assert proxy.struck and mirror.pending == TRIALS
        proxy.heal()
        assert mirror.close(60) == 0
        assert mirror.problem == ""
        assert differences(study, store) == []
