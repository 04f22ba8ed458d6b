"""The ledger keeps what was committed, whatever happens around it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import (
    ConfigError,
    StaleAttemptError,
    StudyExistsError,
    StudyNotFoundError,
    UnknownNameError,
)
from convscout.search_space.knobs import Suggester
from convscout.search_space.space import Candidate, SearchSpace
from convscout.services.config.home import Home
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plugins import pruners, samplers
from convscout.services.samplers.base import SamplerFactory, SamplingTask
from convscout.trials.config import TrialConfig, TrialState
from convscout.trials.end_reason import EndReason
from tests.support.records import measurement
from tests.support.studies import tiny_config

SPACE = SearchSpace(
    image=ImageSpec(in_channels=1, image_size=8, num_classes=10), families=("lenet",), epochs=4
)
NEVER = pruners.get("none")()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(Home(tmp_path), tiny_config(), fingerprint="f" * 64)


def _sampler(name: str) -> SamplerFactory:
    return samplers.get(name)(SamplingTask(space=SPACE)).fresh


def _commit(ledger: Ledger, sampler: str = "random") -> TrialRecord:
    proposal = ledger.propose(SPACE, _sampler(sampler))
    architecture, recipe = proposal.candidate
    config = TrialConfig(
        number=proposal.number, attempt=1, dataset="f" * 64, architecture=architecture, recipe=recipe, seed=7
    )
    return ledger.commit(config, measure(architecture, recipe, SPACE.image))


def test_a_trial_goes_from_proposal_to_result(ledger: Ledger) -> None:
    record = _commit(ledger)
    assert record.state is TrialState.RUNNING and record.complexity is not None
    ledger.report(0, 1, measurement(1, 0.6), NEVER)
    ledger.report(0, 1, measurement(2, 0.4), NEVER)
    finished = ledger.finish(0, 1, EndReason.COMPLETED, "trained all its epochs")
    assert (finished.state, finished.reason_code) == (TrialState.COMPLETED, EndReason.COMPLETED)
    assert finished.best == measurement(1, 0.6)
    assert finished.config == record.config
    again = Ledger.open(ledger.ref).trial(0)
    assert again == finished


def test_finishing_and_reporting_twice_changes_nothing(ledger: Ledger) -> None:
    _commit(ledger)
    ledger.report(0, 1, measurement(1, 0.6), NEVER)
    ledger.report(0, 1, measurement(1, 0.9), NEVER)
    first = ledger.finish(0, 1, EndReason.COMPLETED, "done")
    second = ledger.finish(0, 1, EndReason.ERROR, "late and wrong")
    assert first == second
    assert [m.val_accuracy for m in second.measurements] == [0.6]


def test_an_adopted_trial_keeps_its_number_and_ignores_its_old_attempt(ledger: Ledger) -> None:
    _commit(ledger)
    ledger.report(0, 1, measurement(1), NEVER)
    adopted = ledger.adopt(0)
    assert (adopted.number, adopted.attempt, len(adopted.measurements)) == (0, 2, 1)
    with pytest.raises(StaleAttemptError):
        ledger.report(0, 1, measurement(2), NEVER)
    with pytest.raises(StaleAttemptError):
        ledger.finish(0, 1, EndReason.COMPLETED, "late")
    ledger.report(0, 2, measurement(2), NEVER)
    assert ledger.finish(0, 2, EndReason.COMPLETED, "done").state is TrialState.COMPLETED


def test_a_crash_leaves_no_trace_of_what_was_never_committed(ledger: Ledger) -> None:
    record = _commit(ledger)
    ledger.propose(SPACE, _sampler("random"))
    reopened = Ledger.open(ledger.ref)
    assert reopened.unfinished() == reopened.trials() == [record]


def test_a_queued_proposal_that_was_lost_is_proposed_again(ledger: Ledger) -> None:
    candidate = SPACE.portfolio()[0]
    ledger.enqueue(SPACE.parameters(candidate))
    assert ledger.propose(SPACE, _sampler("random")).candidate == candidate
    assert not ledger.queued
    reopened = Ledger.open(ledger.ref)
    assert reopened.queued
    assert reopened.propose(SPACE, _sampler("random")).candidate == candidate


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_a_pruner_stops_a_laggard(ledger: Ledger, pruner: str) -> None:
    chosen = pruners.get(pruner)()
    for number in range(8):
        _commit(ledger)
        for epoch in range(1, 9):
            ledger.report(number, 1, measurement(epoch, 0.9), chosen)
        ledger.finish(number, 1, EndReason.COMPLETED, "done")
    _commit(ledger)
    verdicts = [ledger.report(8, 1, measurement(epoch, 0.1), chosen) for epoch in range(1, 5)]
    assert any(verdicts)


def test_it_says_what_was_used_of_what_was_granted(ledger: Ledger) -> None:
    assert ledger.used == {"time_s": 0, "trials": 0, "epochs_total": 0}
    _commit(ledger)
    for epoch in (1, 2, 3):
        ledger.report(0, 1, measurement(epoch, 0.5), NEVER)
    ledger.finish(0, 1, EndReason.COMPLETED, "done")
    assert ledger.used == {"time_s": 0, "trials": 1, "epochs_total": 3}


def test_names_are_taken_once_and_unknown_ones_are_refused(ledger: Ledger) -> None:
    with pytest.raises(StudyExistsError, match="'tiny' exists already"):
        Ledger.create(ledger.home, tiny_config(), fingerprint="f" * 64)
    with pytest.raises(StudyExistsError, match=r"on other data \(digits\); choose another --study") as other:
        Ledger.create(ledger.home, tiny_config(data="cifar10"), fingerprint="f" * 64)
    assert other.value.next_command == ""  # to resume it would lead to the old data
    with pytest.raises(
        StudyExistsError, match="'tiny' exists already"
    ):  # in one directory on macOS and Windows
        Ledger.create(ledger.home, tiny_config("Tiny"), fingerprint="f" * 64)
    with pytest.raises(ConfigError, match=r"study\.name: must be .*, such as 'run-1-2', but got 'run-1\.2'"):
        Ledger.create(ledger.home, tiny_config("run-1.2"), fingerprint="f" * 64)
    with pytest.raises(StudyNotFoundError, match=r"no study 'other' .* studies there: tiny"):
        Ledger.open(ledger.home.study("other"))
    with pytest.raises(UnknownNameError, match="no trial 5"):
        ledger.trial(5)


def test_time_spent_adds_up_over_runs(ledger: Ledger) -> None:
    now = ledger.note("unknown")
    assert now is None and ledger.spent_s == 0
    import time

    with ledger.clock(time.time() - 10):
        pass
    with ledger.clock(time.time() - 5):
        pass
    assert 15 <= ledger.spent_s < 20


def test_the_sampler_learns_what_was_rejected_for_its_cost(ledger: Ledger) -> None:
    for _ in range(3):
        proposal = ledger.propose(SPACE, _sampler("tpe"))
        ledger.reject(
            proposal.number, EndReason.LIMIT_EXCEEDED, "9 params exceed max_params = 1", {"max_params": 8.0}
        )
    frozen = ledger._study.get_trials(deepcopy=False)
    assert [trial.constraints for trial in frozen] == [{"max_params": 8.0}] * 3
    assert all(record.state is TrialState.REJECTED and not record.trained for record in ledger.trials())
    assert ledger.propose(SPACE, _sampler("tpe")).number == 3


def test_processes_that_open_a_fresh_home_at_once_do_not_break_it(tmp_path: Path) -> None:
    look = (
        "import sys; from pathlib import Path; from convscout.services.config.home import Home; "
        "from convscout.services.ledger.database import open_storage; open_storage(Home(Path(sys.argv[1])))"
    )
    children = [subprocess.Popen([sys.executable, "-c", look, str(tmp_path / "home")]) for _ in range(3)]
    assert [child.wait(timeout=100) for child in children] == [0, 0, 0]


def test_a_proposal_that_cannot_be_made_is_rejected_and_not_left_running(ledger: Ledger) -> None:
    class Broken(SearchSpace):
        def suggest(self, suggester: Suggester) -> Candidate:
            raise RuntimeError("a plug-in broke")

    broken = Broken(image=SPACE.image, families=SPACE.families)
    with pytest.raises(RuntimeError, match="a plug-in broke"):
        ledger.propose(broken, samplers.get("random")(SamplingTask(space=SPACE)).fresh)
    again = Ledger.open(ledger.ref)
    assert [record.reason_code for record in again.trials()] == [EndReason.UNBUILDABLE]
    assert again.unfinished() == []
