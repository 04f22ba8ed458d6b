"""Studies run as processes of their own: whatever becomes of the service, or of them, nothing is lost track of."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from convscout.search_space.errors import ConfigError, StudyExistsError, StudyNotFoundError, StudyStateError
from convscout.services.config.home import Home
from convscout.services.ledger.lease import holder
from convscout.services.ledger.ledger import Ledger
from convscout.services.schemas.jobs import JobState
from convscout.services.schemas.study_status import StudyStatus
from convscout.services.studies import deletion
from convscout.services.studies.check import check
from convscout.trials.config import TrialState
from tests.support.planes import (
    ENDLESS,
    TINY,
    await_epochs,
    await_status,
    await_trials,
    epochs,
    plane_of,
    until,
)
from tests.support.processes import kill_all_of
from tests.support.short_jobs import forked_jobs, short_jobs
from tests.support.studies import tiny_config

ENDED = (StudyStatus.FINISHED, StudyStatus.FAILED)


@pytest.fixture(autouse=True)
def leave_nothing(tmp_path: Path) -> Iterator[None]:
    yield
    kill_all_of(tmp_path)


def _holder(home: Home, name: str) -> int:
    found = holder(home.study(name))
    assert found is not None
    return found.pid


@pytest.mark.slow
@short_jobs()
def test_a_study_is_begun_followed_paused_given_more_and_ends(tmp_path: Path) -> None:
    home = Home(tmp_path)
    plane = plane_of(home)
    with plane.running():
        made = plane.create({"name": "s", **ENDLESS}, priority=3)
        assert (made.status, made.queue_position, made.priority) == (StudyStatus.QUEUED, 1, 3)
        await_trials(plane, "s", 1)
        # whoever asks within half a second is answered by the same look
        until(lambda: plane.study("s").running, "its trial to be shown", lambda: str(plane.study("s")))
        seen = plane.study("s")
        assert seen.status is StudyStatus.RUNNING and seen.workers == 1
        assert seen.best is not None and seen.best.family == "lenet"
        plane.enqueue("s", {"family": "lenet", "recipe.label_smoothing": 0.07})
        plane.pause("s")
        await_status(plane, "s", StudyStatus.PAUSED)
        with pytest.raises(StudyStateError, match=r"is paused: cannot pause; possible now: resume, extend"):
            plane.pause("s")
        before = epochs(plane, "s")
        plane.change("s", {"epochs": 3, "trials": 3}, priority=-1)
        assert plane.state("s").status is StudyStatus.PAUSED
        plane.resume("s")
        assert await_status(plane, "s", *ENDED) is StudyStatus.FINISHED
        done = plane.study("s")
        assert done.priority == -1 and done.progress == 1.0
        assert done.outcome is not None and done.trials == {"completed": 3}
        records = plane.snapshot("s").trials
        assert epochs(plane, "s") > before
        by_hand = [r for r in records if r.config and r.config.flat()["recipe.label_smoothing"] == 0.07]
        assert len(by_hand) == 1
        plane.extend("s", {"trials": "+1"})
        assert await_status(plane, "s", *ENDED) is StudyStatus.FINISHED
        until(lambda: plane.study("s").trials == {"completed": 4}, "a fourth trial", lambda: "")
    assert check(home.study("s")) == []


@pytest.mark.slow
@forked_jobs()
def test_whenever_one_looks_a_study_goes_straight_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    plane = plane_of(Home(tmp_path))
    with plane.running():
        plane.create({"name": "s", **TINY, "trials": 1})
        seen = [StudyStatus.QUEUED]
        while seen[
            -1
        ].active:  # without a pause: some looks fall between the end of its work and that of its process
            status = plane.state("s").status
            if status is not seen[-1]:
                seen.append(status)
    assert seen == [StudyStatus.QUEUED, StudyStatus.STARTING, StudyStatus.RUNNING, StudyStatus.FINISHED]


@pytest.mark.slow
@short_jobs()
def test_a_study_outlives_the_service_and_is_adopted_by_the_next(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = plane_of(home)
    with first.running():
        first.create({"name": "s", **ENDLESS})
        first.create({"name": "waits", **TINY})
        await_trials(first, "s", 1)
    pid = _holder(home, "s")
    second = plane_of(home)
    assert [each.status for each in second.studies()] == [StudyStatus.QUEUED, StudyStatus.RUNNING]
    with second.running():
        count = len(second.snapshot("s").trials)
        await_trials(second, "s", count + 1)
        assert _holder(home, "s") == pid
        assert second.state("waits").status is StudyStatus.QUEUED
        second.stop("s")
        await_status(second, "s", StudyStatus.STOPPED)
        assert await_status(second, "waits", *ENDED) is StudyStatus.FINISHED
    assert not psutil.pid_exists(pid)


@pytest.mark.slow
@short_jobs()
def test_a_study_that_was_killed_is_said_to_be_and_goes_on_where_it_was(tmp_path: Path) -> None:
    home = Home(tmp_path)
    plane = plane_of(home)
    with plane.running():
        plane.create({"name": "s", **TINY, "epochs": 40})
        await_trials(plane, "s", 1)
        os.kill(_holder(home, "s"), signal.SIGKILL)
        await_status(plane, "s", StudyStatus.INTERRUPTED)
        assert "resume" in plane.study("s").actions
        plane.change("s", {"epochs": 40})
        plane.resume("s")
        assert await_status(plane, "s", *ENDED) is StudyStatus.FINISHED
    trials = Ledger.open(home.study("s")).trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 2
    assert max(trial.attempt for trial in trials) == 2
    assert check(home.study("s")) == []


@pytest.mark.slow
@short_jobs()
def test_studies_take_turns_and_the_urgent_goes_first(tmp_path: Path) -> None:
    plane = plane_of(Home(tmp_path), slice_s=4.0)
    with plane.running():
        plane.create({"name": "first", **ENDLESS})
        await_epochs(plane, "first", 1)
        plane.create({"name": "second", **ENDLESS})
        await_epochs(plane, "second", 1)  # the first one has had its slice
        assert plane.state("first").status is StudyStatus.QUEUED
        plane.create({"name": "urgent", **TINY}, priority=5)
        assert await_status(plane, "urgent", *ENDED) is StudyStatus.FINISHED
        await_epochs(plane, "first", epochs(plane, "first") + 1)  # it has its turn again
        for name in ("first", "second"):
            if plane.state(name).status.active:
                await_status(plane, name, StudyStatus.QUEUED, StudyStatus.STARTING, StudyStatus.RUNNING)
                plane.stop(name)
        for name in ("first", "second"):
            await_status(plane, name, StudyStatus.STOPPED)


def test_what_waits_can_be_held_let_go_taken_out_and_deleted(tmp_path: Path) -> None:
    plane = plane_of(Home(tmp_path))  # nothing begins, as nobody supervises
    plane.create({"name": "s", **TINY})
    plane.create({"name": "t", **TINY}, priority=1)
    assert [plane.study(name).queue_position for name in "ts"] == [1, 2]
    plane.pause("s")
    assert plane.state("s").status is StudyStatus.PAUSED
    plane.resume("s")
    assert plane.state("s").status is StudyStatus.QUEUED
    plane.change("s", {}, priority=7)
    assert plane.study("s").queue_position == 1
    plane.stop("s")
    assert plane.state("s").status is StudyStatus.STOPPED
    plane.resume("s")
    assert plane.state("s").status is StudyStatus.QUEUED
    plane.stop("s")
    plane.delete("s")
    with pytest.raises(StudyNotFoundError, match="studies there: t"):
        plane.study("s")
    plane.create({"name": "s", **TINY})
    with pytest.raises(StudyExistsError):
        plane.create({"name": "s", **TINY})


@pytest.mark.slow
def test_a_study_that_cannot_begin_says_why(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    plane = plane_of(Home(tmp_path / "home"), data_roots=(tmp_path,))
    with plane.running():
        plane.create({"name": "s", **TINY, "data": f"folder:{tmp_path / 'images'}"})
        await_status(plane, "s", StudyStatus.FAILED)
        assert "holds no" in plane.study("s").error or "no class" in plane.study("s").error
        assert plane.study("s").message.startswith("it ended with an error before its first trial: ")
        assert plane.study("s").next_command == "convscout resume s"
        (tmp_path / "images").rmdir()
        plane.delete("s")
    assert plane.studies() == []
    assert not (tmp_path / "home" / "studies" / "s").exists()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"data": "folder:/etc"}, "data"),
        ({"ray_address": "10.0.0.1:6379"}, "resources.ray_address"),
        ({"data_dir": "/etc"}, "data"),
        ({"trials": -1}, "budget.trials"),
    ],
)
def test_what_the_service_may_not_do_is_refused(
    tmp_path: Path, settings: dict[str, object], field: str
) -> None:
    plane = plane_of(Home(tmp_path))
    with pytest.raises(ConfigError) as caught:
        plane.create({"name": "s", **TINY, **settings})
    assert any(field in problem.field for problem in caught.value.problems)
    assert plane.studies() == []


@pytest.mark.slow
@forked_jobs()
def test_results_are_made_by_jobs(tmp_path: Path) -> None:
    plane = plane_of(Home(tmp_path))
    with plane.running():
        plane.create({"name": "s", **TINY})
        assert await_status(plane, "s", *ENDED) is StudyStatus.FINISHED
        jobs = [
            plane.results.select("s", {"size": 1}),
            plane.results.front("s", "params"),
            plane.results.export("s", ("bundle", "onnx"), {"size": 1}),
            plane.results.report("s"),
        ]
        assert plane.results.front("s", "params").id == jobs[1].id  # asked for twice, made once
        until(
            lambda: not any(plane.results.job(job.id).state.active for job in jobs), "jobs", lambda: str(jobs)
        )
        for job in jobs:
            assert plane.results.job(job.id).state is JobState.DONE, plane.results.job(job.id).error
    front = plane.results.latest_front("s", "params")
    assert front is not None and front["front"]
    assert [each.id for each in plane.results.exports("s")] == ["study", jobs[2].id]
    assert plane.results.archive("s", jobs[2].id).stat().st_size > 1000
    assert plane.results.model("s", jobs[2].id).image_size == 8
    assert plane.results.report_path("s", markdown=True) is not None


def test_studies_that_were_deleted_are_listed_by_another_service(tmp_path: Path) -> None:
    home = Home(tmp_path)
    Ledger.create(home, tiny_config("by-hand"), fingerprint="f" * 64)
    deletion.delete(home.study("by-hand"))
    plane = plane_of(home)
    (found,) = plane.deleted()
    assert found.name == "by-hand" and found.deleted_until is not None
    assert plane.studies() == []
    with pytest.raises(StudyNotFoundError):
        plane.study("by-hand")
    assert plane.restore("by-hand").actions == ["resume", "extend", "enqueue", "delete"]


def test_a_study_is_stopped_before_its_process_can_be_asked(tmp_path: Path) -> None:
    plane = plane_of(Home(tmp_path))
    plane.create({"name": "s", **TINY})
    plane.supervisor.tick()
    state = plane.state("s")
    assert state.status is StudyStatus.STARTING and state.job is not None and state.job.pid is None
    plane.stop("s")
    assert await_status(plane, "s", StudyStatus.STOPPED) is StudyStatus.STOPPED
    assert Ledger.names(plane.home) == []
