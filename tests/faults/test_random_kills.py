"""Row 1 of the faults, many seeds of it: a small study in one process is killed at random moments, to its end.

I1 to I5 and I7 hold: the study ends as one that ran undisturbed. ``test_kill.py`` does the same through Ray, and
``python -m benchmarks.kill_loop`` for hundreds of seeds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kill_loop import run
from services.placement import num_cores

SEEDS = 10


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_study_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    survivals = run(tmp_path, 0, SEEDS, num_cores())
    assert {survival.seed: survival.complaints for survival in survivals if survival.complaints} == {}
    assert sum(survival.kills for survival in survivals) >= SEEDS
