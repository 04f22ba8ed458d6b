"""Row 1 of the faults, some seeds of it: a small study in one process is killed at random moments, to its end.

I1 to I5 and I7 hold: the study ends as one that ran undisturbed. ``test_kill.py`` does the same through Ray, and
``python -m benchmarks.kill_loop``, which is what runs here, for hundreds of seeds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tests.support.soaking import repetitions

SEEDS = repetitions(2, 200)
EXPORTED = repetitions(
    ["--bundle-alone"], []
)  # exports of all formats are killed by ``test_exports.py`` in CI


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(repetitions(1800, 12 * 3600))
def test_a_study_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.kill_loop", "--seeds", str(SEEDS), *EXPORTED]
    environment = {**os.environ, "CONVSCOUT_BENCHMARKS": str(tmp_path)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    record = json.loads((tmp_path / "kill_loop.json").read_text())
    assert record["studies"] == SEEDS and record["failed"] == 0
    assert record["kills"] >= SEEDS
