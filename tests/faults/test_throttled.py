"""A search whose steps take long keeps its deadline and ends with a model, killed or not, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convscout.services.config.home import Home
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.outcome import load_outcome
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.places import ROOT
from tests.support.throttled import EPOCHS, STUDY, TIME_S

KILLS = 2
SLACK_S = 15.0  # for the end on a busy machine


def _start(home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.throttled", str(home)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


def _epochs(home: Path) -> list[int]:
    """How many epochs of each trial are in the ledger."""
    if STUDY not in Ledger.names(Home(home)):
        return []
    return [
        len(record.measurements) for record in Ledger.open(Home(home).study(STUDY)).trials() if record.trained
    ]


def _wait_for(home: Path, epochs: int, process: subprocess.Popen[bytes]) -> None:
    while max(_epochs(home), default=0) < epochs and process.poll() is None:
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_throttled_search_that_is_killed_ends_in_time_with_a_model_and_loses_no_epoch(
    tmp_path: Path,
) -> None:
    known = list[int]()
    for _ in range(KILLS):
        process = _start(tmp_path)
        # how many there are when it is killed is not known beforehand, so the next has to report one more
        _wait_for(tmp_path, max(known, default=1) + 1, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = _epochs(tmp_path)
        assert now[: len(known)] >= known, "what was reported stays"
        known = now
    assert _start(tmp_path).wait() == 0
    ledger = Ledger.open(Home(tmp_path).study(STUDY))
    assert ledger.spent_s < TIME_S + SLACK_S, "the deadline is kept, over all three runs"
    outcome = load_outcome(ledger)
    assert outcome is not None and outcome.ensemble.members
    trained = [record for record in ledger.trials() if record.trained]
    assert all(record.state is not TrialState.RUNNING for record in trained)
    first = trained[0]
    assert first.attempt == KILLS + 1
    assert [each.epoch for each in first.measurements] == list(range(1, len(first.measurements) + 1))
    assert len(first.measurements) < EPOCHS and first.measurements[-1].last
    assert (first.state, first.reason_code) == (TrialState.COMPLETED, EndReason.SHORTENED)
    rates = [each.learning_rate for each in first.measurements]
    assert rates[-1] < 0.2 * max(rates), "annealed when the time ends"
