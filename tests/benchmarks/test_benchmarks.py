"""Every benchmark runs and writes what it found: its ``--quick`` run, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tests.support.soaking import repetitions

PART_OF_RESULT = {
    "trial_throughput": "images_per_s",
    "profile_epoch": "shares",
    "trial_overhead": "first_trial_s",
    "packing": "packed/serial",
    "time_to_accuracy": "val_accuracy",
    "same_accuracy": "standard_error",
    "whole_search": "report",
    "gpu_checks": "state",
    "sampler_latency": "ours_ms",
    "ensemble_selection": "seconds",
    "serving": "ratio",
    "allocator": "images_per_s",
    "controller_memory": "rss_bytes",
    "orthogonalization": "update_ms",
    "scouting": "contender",
}
LONG = ("trial_throughput", "packing", "trial_overhead")
ON_DIGITS = {
    "time_to_accuracy": ("--threads", "1"),
    "same_accuracy": ("--threads", "1"),
    "whole_search": (),
    "scouting": ("--workers", "1"),
    # its other parts have their own runs here
    "gpu_checks": ("--device", "cpu", "--parts", "graphs,memory,search"),
}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", repetitions([name for name in PART_OF_RESULT if name not in LONG], list(PART_OF_RESULT))
)
def test_quick_run_writes_its_results(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick"]
    if name in ON_DIGITS:
        command += ["digits", "--cache", str(tmp_path / "cache"), *ON_DIGITS[name]]
    environment = {**os.environ, "CONVSCOUT_BENCHMARKS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "| ---" in ran.stdout, "no table was printed"
    record = json.loads((tmp_path / f"{name}.json").read_text())
    assert record["command"].startswith(f"python -m benchmarks.{name}")
    assert record["machine"]["cores"] >= 1 and record["machine"]["load"] >= 0
    assert record["results"] and all(PART_OF_RESULT[name] in result for result in record["results"])
