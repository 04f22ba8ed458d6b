"""Checkpoints stay where a resume, a revival or the ensemble needs them, and within the budget of the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convscout.search_space.architecture import families
from convscout.search_space.complexity import Complexity
from convscout.services.config.home import Home
from convscout.services.ensembles.library import LIBRARY
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.search.checkpoint_gc import RESUMABLE, TRIAL_BYTES_A_PARAM, CheckpointGC
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState
from tests.support.records import record
from tests.support.studies import tiny_config

KILOBYTE = 256  # float32 numbers


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(Home(tmp_path), tiny_config(), fingerprint="f" * 64)


def _trained(ledger: Ledger, number: int, accuracy: float, state: TrialState) -> TrialRecord:
    """A trial that ended, with a best epoch of 2 KB and, if it was stopped, an epoch state of 1 KB."""
    directory = TrialDirectory(ledger.ref.trial(number))
    directory.claim(1)
    directory.save_best(1, {"weight": torch.rand(KILOBYTE)}, torch.rand(KILOBYTE, 1))
    directory.save_epoch(1, {"weight": torch.rand(KILOBYTE)})
    directory.close(resumable=state is TrialState.STOPPED)
    return record(number, accuracy, state=state)


def _network(params: int) -> Complexity:
    return Complexity(params=params, flops=1, activations=1, peak_train_bytes=1)


def test_only_the_best_stopped_trials_can_go_on(ledger: Ledger) -> None:
    checkpoints = CheckpointGC(ledger, None, most_members=5)
    for number in range(RESUMABLE + 3):
        checkpoints.ended(_trained(ledger, number, number / 100, TrialState.STOPPED))
    best_first = list(range(RESUMABLE + 2, 2, -1))
    assert [each.number for each in checkpoints.resumable] == best_first
    assert (
        not TrialDirectory(ledger.ref.trial(0)).resumable and TrialDirectory(ledger.ref.trial(0)).best_file()
    )
    checkpoints.reopened(best_first[0])
    assert [each.number for each in checkpoints.resumable] == best_first[1:]


def test_a_completed_trial_keeps_its_best_epoch_alone(ledger: Ledger) -> None:
    checkpoints = CheckpointGC(ledger, None, most_members=5)
    checkpoints.ended(_trained(ledger, 0, 0.5, TrialState.COMPLETED))
    assert checkpoints.resumable == []
    assert (
        TrialDirectory(ledger.ref.trial(0)).load_best()
        and TrialDirectory(ledger.ref.trial(0)).load_epoch() is None
    )


def test_what_no_ensemble_looks_at_is_dropped_but_the_best_of_a_family_stays(ledger: Ledger) -> None:
    checkpoints = CheckpointGC(ledger, None, most_members=5)
    other = families.get("mlp").proven()
    for number in range(LIBRARY + 3):
        done = _trained(ledger, number, 0.9 - number / 1000, TrialState.COMPLETED)
        if number == LIBRARY + 2:  # the worst of all, but alone in its family
            assert done.config is not None
            done = replace(done, plan={**done.plan, "architecture": other.to_dict()})
        checkpoints.ended(done)
    kept = [number for number in range(LIBRARY + 3) if TrialDirectory(ledger.ref.trial(number)).best_file()]
    assert kept == [*range(LIBRARY - 1), LIBRARY + 2]


def test_of_a_failed_trial_nothing_is_kept(ledger: Ledger) -> None:
    checkpoints = CheckpointGC(ledger, None, most_members=5)
    checkpoints.ended(_trained(ledger, 0, 0.9, TrialState.FAILED))
    directory = TrialDirectory(ledger.ref.trial(0))
    assert (directory.num_bytes, directory.discarded, checkpoints.used, checkpoints.resumable) == (
        0,
        True,
        0,
        [],
    )
    checkpoints.ended(record(1, 0.9, state=TrialState.FAILED))  # it failed before it had a directory
    assert not TrialDirectory(ledger.ref.trial(1)).path.exists()


def test_room_is_made_from_what_is_needed_least(ledger: Ledger) -> None:
    checkpoints = CheckpointGC(ledger, 2**20, most_members=1)
    for number, accuracy in enumerate((0.5, 0.9, 0.7)):
        checkpoints.ended(_trained(ledger, number, accuracy, TrialState.STOPPED))
    used = checkpoints.used
    # as much as is free, and half a kilobyte more: one epoch state has to go
    beyond = (2**20 - used + 512) // TRIAL_BYTES_A_PARAM
    assert checkpoints.makes_room([_network(beyond)])
    assert [each.number for each in checkpoints.resumable] == [1, 2]
    assert checkpoints.used < used <= 2**20
    # nearly everything: all states and all bests go but the one that an ensemble of one needs
    assert checkpoints.makes_room([_network((2**20 - 4096) // TRIAL_BYTES_A_PARAM)])
    assert [bool(TrialDirectory(ledger.ref.trial(number)).best_file()) for number in range(3)] == [
        False,
        True,
        False,
    ]


def test_a_trial_that_cannot_fit_is_refused(ledger: Ledger) -> None:
    checkpoints = CheckpointGC(ledger, 2**20, most_members=1)
    assert checkpoints.makes_room([_network(12_000)])
    assert not checkpoints.makes_room([_network(12_000), _network(12_000)])
    [spending] = checkpoints.spendings()
    assert spending.text == "0 B of 1 MiB"
