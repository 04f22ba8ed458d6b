"""Jobs: what lies in a job's directory says how it stands, at whatever moment one looks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from convscout.services.cli.job import launch
from convscout.services.config.home import Home
from convscout.services.control.jobs import START_S, Job, Jobs
from convscout.services.schemas.jobs import JobKind, JobState
from convscout.services.system.locks import lock_file


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


def test_a_process_that_takes_its_lock_while_one_looks_is_not_lost(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job.path / "lock").touch()

    def take_it_then(path: Path) -> bool:
        path.write_text("12345\n")
        return True  # as it was a moment ago

    monkeypatch.setattr("convscout.services.control.jobs.is_free", take_it_then)
    assert job.state is JobState.RUNNING


def test_one_that_was_killed_is_lost(job: Job) -> None:
    with lock_file(job.path / "lock") as held:
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


def test_one_says_what_went_wrong_whatever_else_its_process_said(job: Job) -> None:
    assert job.error == ""
    job.log.write_text("error: of a library that had to say something\n")
    job.end(2, "data: must exist, but got 'nowhere'")
    assert (job.state, job.exit_code, job.error) == (
        JobState.FAILED,
        2,
        "data: must exist, but got 'nowhere'",
    )


def test_one_of_an_earlier_version_ended_without_a_word(job: Job) -> None:
    (job.path / "exit.json").write_text('{"code": 1, "at": 1.0}')
    assert (job.state, job.error) == (JobState.FAILED, "")


def test_the_process_of_a_job_notes_how_its_command_ended(job: Job) -> None:
    jobs = Jobs(Home.at(job.path.parents[2]))
    refused = jobs.add(JobKind.SEARCH, "other", ["search", "--trials", "-1", "--data", "digits"])
    launch(refused.path)
    assert refused.exit_code == 2 and "must be" in refused.error and "-1" in refused.error
