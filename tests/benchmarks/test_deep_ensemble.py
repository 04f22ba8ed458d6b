"""The deep ensemble is trained beside a study in as much time, and compared on the same images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.deep_ensemble import equal_epochs
from convscout.services.config.home import Home
from convscout.services.studies import run
from tests.support.places import ROOT
from tests.support.studies import quiet, tiny_config


def test_all_seeds_together_take_as_long_as_the_study() -> None:
    assert equal_epochs(spent_s=120.0, workers=2, epoch_s=3.0, seeds=4) == 20
    assert equal_epochs(spent_s=1.0, workers=1, epoch_s=3.0, seeds=4) == 1


@pytest.mark.slow
def test_it_is_compared_with_the_ensemble_of_the_study(tmp_path: Path) -> None:
    outcome = run.search(tiny_config(trials=2), Home(tmp_path), quiet, time.time())
    command = ["benchmarks.deep_ensemble", "tiny", "--home", str(tmp_path), "--seeds", "2", "--epochs", "2"]
    environment = {**os.environ, "CONVSCOUT_BENCHMARKS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=True, timeout=100)
    record = json.loads((tmp_path / "deep_ensemble.json").read_text())
    ours, *others = record["results"]
    assert ours["accuracy"] == pytest.approx(outcome.score("ensemble", "test"), abs=1e-9)
    assert [each["name"] for each in others] == ["deep ensemble, plain", "deep ensemble, shifted"]
    for each in others:
        assert len(each["each"]) == 2 and each["low"] <= each["accuracy"] <= each["high"]
        assert each["study_gains"] == pytest.approx(ours["accuracy"] - each["accuracy"], abs=0.01)
