"""The doctor finds what is wrong with a machine and says how to mend it."""

from __future__ import annotations

import os
import socket
import sqlite3
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import torch

from convscout.services.config.home import Home
from convscout.services.studies import doctor
from convscout.services.studies.diagnosis import Diagnosis, Status
from convscout.services.studies.doctor import examine
from convscout.services.system.resources import usable_cores, usable_memory
from convscout.trials.training.machine_speed import MachineSpeed, measure_speed


@cache
def one_look() -> MachineSpeed:
    """This machine by its smallest network, which is measured once for all tests."""
    return measure_speed(torch.device("cpu"), 1, patience_s=0.0)


@pytest.fixture(autouse=True)
def _measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = one_look()
    monkeypatch.setattr(
        "convscout.trials.training.machine_speed.measure_speed", lambda *args, **options: speed
    )


def findings_at(home: Path, *, port: int = 0) -> dict[str, Diagnosis]:
    return {finding.subject: finding for finding in examine(Home(home), port=port)}


@pytest.fixture
def taken_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_machine_that_runs_these_tests_has_nothing_to_mend(tmp_path: Path) -> None:
    findings = findings_at(tmp_path / "runs")
    failed = [finding for finding in findings.values() if finding.status is Status.FAIL]
    assert not failed
    expected = {
        "python",
        "packages",
        "torch and torchvision",
        "cpu",
        "cores",
        "speed",
        "disk",
        "ledger",
        "tracking",
    }
    assert expected <= set(findings)
    assert "images/s a thread" in findings["speed"].text
    assert f"torch {metadata.version('torch')}" in findings["packages"].text
    assert not (tmp_path / "runs").exists()  # looking changes nothing


def test_cores_and_memory_are_within_what_there_is() -> None:
    assert 0 < usable_cores() <= len(os.sched_getaffinity(0))
    assert usable_memory() > 0


def test_a_taken_port_is_named_with_the_next_one(tmp_path: Path, taken_port: int) -> None:
    finding = findings_at(tmp_path, port=taken_port)[f"port {taken_port}"]
    assert finding.status is Status.WARN
    assert finding.mend == f"convscout ui --port {taken_port + 1}"


def test_a_home_below_a_file_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finding = findings_at(tmp_path / "file" / "runs")["disk"]
    assert finding.status is Status.FAIL
    assert "--home" in finding.mend


def test_a_sound_database_is_opened(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "convscout.db") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    finding = findings_at(tmp_path)["ledger"]
    assert finding.status is Status.OK
    assert "journal mode delete" in finding.text


def test_a_locked_database_is_a_warning(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "convscout.db", isolation_level=None)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("BEGIN EXCLUSIVE")
    finding = findings_at(tmp_path)["ledger"]
    connection.close()
    assert finding.status is Status.WARN
    assert "locked" in finding.text


def test_a_damaged_database_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    finding = findings_at(tmp_path)["tracking"]
    assert finding.status is Status.FAIL
    assert str(tmp_path / "mlflow.db") in finding.text


def test_a_tracking_server_that_is_away_is_a_warning(
    tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed}")
    finding = findings_at(tmp_path)["tracking"]
    assert finding.status is Status.WARN
    assert "does not answer" in finding.text


def test_a_torch_that_does_not_go_with_torchvision_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.13.0" if name == "torch" else real(name))
    finding = findings_at(tmp_path)["torch and torchvision"]
    assert finding.status is Status.FAIL
    assert "torch 2.13.0 does not go with torchvision" in finding.text
    assert "pip install" in finding.mend


def test_a_package_that_is_missing_or_too_old_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    required = metadata.requires("convscout") or []
    wanted = [*required, "no-such-package>=1", "numpy>=1000"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: wanted if name == "convscout" else [])
    texts = [finding.text for finding in examine(Home(tmp_path), port=0) if finding.status is Status.FAIL]
    assert len(texts) == 1
    assert "no-such-package is missing" in texts[0]
    assert "is not >=1000" in texts[0]


def test_a_check_that_breaks_is_itself_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> float:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(doctor, "usable_cores", broken)
    finding = findings_at(tmp_path)["cores"]
    assert finding.status is Status.FAIL
    assert finding.text == "RuntimeError: no such kernel"
