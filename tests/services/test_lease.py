"""One controller a study, freed by the system however its holder dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from search_space.errors import StudyLockedError
from services.lease import holder, lease

_HOLD = """
import sys, time
from pathlib import Path
from services.lease import lease
with lease(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_controller_is_told_who_holds_the_study(tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    with lease(directory):
        assert holder(directory) is not None
        with (
            pytest.raises(StudyLockedError, match=rf"'mine' is being run by process {os.getpid()}"),
            lease(directory),
        ):
            pass
    assert holder(directory) is None


def test_a_killed_holder_leaves_the_study_free(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    found = holder(tmp_path)
    assert found is not None and found.pid == child.pid
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with lease(tmp_path):
        mine = holder(tmp_path)
        assert mine is not None and mine.pid == os.getpid()
