"""Jobs: what lies in a job's directory says how it stands, at whatever moment one looks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from services.control.jobs import START_S, Job, Jobs
from services.control.kinds import JobKind, JobState
from services.home import Home
from services.locked_file import locked_file


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """One whose process was begun a moment ago."""
    job = Jobs(Home.at(tmp_path)).add(JobKind.SEARCH, "study", ["search"])
    assert job.state is JobState.QUEUED
    (job.path / "started").write_text(str(time.time()))
    return job


def test_a_process_that_has_opened_its_lock_and_not_locked_it_yet_is_not_lost(job: Job) -> None:
    assert (job.state, job.pid) == (JobState.RUNNING, None)
    (job.path / "lock").touch()
    assert (job.state, job.pid) == (JobState.RUNNING, None)


def test_one_that_was_killed_is_lost(job: Job) -> None:
    with locked_file(job.path / "lock") as held:
        assert held is not None
        held[1].write("12345\n")
        held[1].flush()
        assert (job.state, job.pid) == (JobState.RUNNING, 12345)
    assert job.state is JobState.LOST
    job.end(0)
    assert job.state is JobState.DONE


def test_one_that_has_not_locked_it_after_long_was_killed_before(job: Job) -> None:
    (job.path / "lock").touch()
    (job.path / "started").write_text(str(time.time() - START_S - 1))
    assert job.state is JobState.LOST
