"""Whatever is asked of a study in whichever order, and whoever is killed meanwhile: the invariants I1 to I7 hold.

A state machine draws orders of what people and misfortune do to a real study, whose processes and whose service are
real as well.

I1 no finished trial is lost or changed · I2 each ends once · I3 every trial ends after a last resume · I4 ledger and
MLflow agree · I5 published files match their hashes · I6 what is offered is accepted and nothing else is · I7 no
process and no lock is left.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from convscout.search_space.errors import StudyNotFoundError, StudyStateError
from convscout.services.config.home import Home
from convscout.services.control.jobs import Jobs
from convscout.services.ledger.lease import holder
from convscout.services.ledger.ledger import Ledger
from convscout.services.schemas.studies import JobView, StudySummary
from convscout.services.schemas.study_status import StudyStatus
from convscout.services.studies.check import check
from convscout.trials.config import TrialState
from tests.support.plane_process import PlaneProcess, Refused
from tests.support.planes import TINY, until
from tests.support.processes import kill_all_of
from tests.support.soaking import repetitions
from tests.support.studies import bundle_alone, essence

NAME = "s"
SETTINGS = {**TINY, "name": NAME, "trials": 2, "epochs": 80}  # a trial takes seconds
ACTIONS = ("pause", "resume", "stop", "extend", "enqueue", "delete")
_MOST_TRIALS = 5  # so that the end does not take too long
_LONG_ENOUGH_S = 600.0

actions = st.sampled_from(ACTIONS)
moments = st.sampled_from((0.0, 0.02, 0.3))


class StudyStates(RuleBasedStateMachine):
    """One study of one home, and the service that looks after it."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="convscout-states-")
        self.home = Home(Path(self._directory.name) / "home")
        self.service = PlaneProcess(self.home)
        self.known: dict[int, tuple[object, ...]] = {}  # each trial that has ended, and what it came to
        self.retried: set[int] = set()
        self.pids: set[int] = set()
        self.exported = False

    # what people do

    @precondition(lambda self: not self.exists and not self.deleted)
    @rule()
    def create(self) -> None:
        made = self.service.ask("create", SETTINGS)
        assert made.status in (StudyStatus.QUEUED, StudyStatus.STARTING)

    @precondition(lambda self: self.exists)
    @rule(action=actions)
    def act(self, action: str) -> None:
        before = self._look()
        if action in ("extend", "enqueue") and self._many:
            return
        try:
            self._do(action)
        except Refused as refused:
            now = self._look()
            assert action not in before.actions or action not in now.actions, f"{action}: {refused}"
            assert refused.kind is StudyStateError, f"{action}: {refused}"
        else:
            # it may have come to allow it since we looked
            assert action in before.actions or before.status.live, f"{action} of {before.status}"

    @precondition(lambda self: self.deleted)
    @rule()
    def restore(self) -> None:
        with pytest.raises(Refused) as raised:
            self.service.ask("study", NAME)
        assert raised.value.kind is StudyNotFoundError
        self.service.ask("restore", NAME)

    @precondition(lambda self: self._begun)
    @rule(number=st.integers(0, 2), action=st.sampled_from(("retry", "stop_trial")))
    def treat_a_trial(self, number: int, action: str) -> None:
        records = {record.number: record for record in Ledger.open(self.home.study(NAME)).trials()}
        if number not in records:
            return
        try:
            self.service.ask(action, NAME, number)
        except Refused as refused:
            assert refused.kind is StudyStateError, refused
        else:
            if action == "retry":
                self.known.pop(number, None)
                self.retried.add(number)

    @precondition(lambda self: self._begun and not self.exported)
    @rule()
    def export(self) -> None:
        self.exported = True
        job: JobView = self.service.ask("results.export", NAME, ("bundle",), {})
        assert job.state.active

    # misfortune

    @precondition(lambda self: self.exists)
    @rule()
    def kill_the_study(self) -> None:
        for pid in self._running():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @rule()
    def kill_the_service(self) -> None:
        self.service.replace()

    @precondition(lambda self: self.exists)
    @rule(action=st.sampled_from(("pause", "resume", "stop", "delete")), moment=moments)
    def kill_the_service_while_it_acts(self, action: str, moment: float) -> None:
        self.service.replace(action, NAME, within_s=moment)

    @precondition(lambda self: self.exists)
    @rule(seconds=st.sampled_from((0.5, 2.0, 6.0)))
    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    # what must hold

    @invariant()
    def no_finished_trial_is_lost_or_changed(self) -> None:
        if not self._begun:
            return
        ended = [r for r in Ledger.open(self.home.study(NAME)).trials() if r.state is not TrialState.RUNNING]
        now = {r.number: (essence(r), r.attempt) for r in ended if r.trained and r.number not in self.retried}
        for number, was in self.known.items():
            assert now.get(number) == was, f"trial {number} was {was} and is {now.get(number)}"
        self.known = now

    @invariant()
    def it_is_shown_as_it_stands(self) -> None:
        self.pids |= set(self._running())
        shown = {study.name for study in self.service.ask("studies")}
        assert shown == ({NAME} if self.exists else set())
        assert {study.name for study in self.service.ask("deleted")} == ({NAME} if self.deleted else set())

    def teardown(self) -> None:
        try:
            if self.deleted:
                self.restore()
            if self.exists:
                self._let_it_end()
                self._check_what_is_left()
        finally:
            self.service.kill()
            kill_all_of(self.home.root)
            self._directory.cleanup()

    # within

    @property
    def deleted(self) -> bool:
        """Whether the study was deleted, and can be restored."""
        return NAME in Ledger.deleted(self.home)

    @property
    def exists(self) -> bool:
        """Whether there is a study that was not deleted."""
        return not self.deleted and bool(self._jobs or NAME in Ledger.names(self.home))

    @property
    def _begun(self) -> bool:
        return not self.deleted and NAME in Ledger.names(self.home)

    @property
    def _many(self) -> bool:
        """Whether so much was asked of it that the end would be long in coming."""
        return self._begun and (Ledger.open(self.home.study(NAME)).config.trials or 0) >= _MOST_TRIALS

    @property
    def _jobs(self) -> Any:
        return Jobs(self.home).of(NAME)

    def _look(self) -> StudySummary:
        found: StudySummary = self.service.ask("study", NAME)
        return found

    def _do(self, action: str) -> None:
        if action == "extend":
            self.service.ask("extend", NAME, {"trials": "+1"})
        elif action == "enqueue":
            self.service.ask("enqueue", NAME, {"family": "lenet"})
        else:
            self.service.ask(action, NAME)

    def _running(self) -> list[int]:
        """The processes that run the study, or make something of it."""
        pids = [job.pid for job in self._jobs if job.started_at and job.state.active and job.pid]
        if NAME in Ledger.names(self.home) and (found := holder(self.home.study(NAME))):
            pids.append(found.pid)
        return [pid for pid in pids if psutil.pid_exists(pid)]

    def _let_it_end(self) -> None:
        give_up = time.monotonic() + _LONG_ENOUGH_S
        while (now := self._look()).status is not StudyStatus.FINISHED or self._unfinished:
            assert time.monotonic() < give_up, f"it does not end: {now}"
            assert now.status is not StudyStatus.FAILED, now.error
            if now.status is StudyStatus.FINISHED:
                self._do("extend")
            elif "resume" in now.actions:
                self._do("resume")
            time.sleep(0.5)

    @property
    def _unfinished(self) -> bool:
        return any(
            record.state is TrialState.RUNNING for record in Ledger.open(self.home.study(NAME)).trials()
        )

    def _check_what_is_left(self) -> None:
        until(lambda: not any(job.state.active for job in self._jobs), "jobs", lambda: str(self._jobs))
        self.pids |= {job.pid for job in self._jobs if job.pid}
        until(lambda: not any(map(psutil.pid_exists, self.pids)), "processes to end", lambda: str(self.pids))
        self.no_finished_trial_is_lost_or_changed()
        assert check(self.home.study(NAME)) == []
        assert holder(self.home.study(NAME)) is None


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(repetitions(3600, 24 * 3600))
@bundle_alone()
def test_a_study_survives_whatever_order_of_things_is_done_to_it() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        StudyStates,
        settings=settings(
            deadline=None,
            # to find the shortest order that fails would take hours
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
            max_examples=repetitions(1, 40),
            stateful_step_count=14,
        ),
    )
