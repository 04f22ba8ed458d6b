"""The trial's directory survives crashes, truncation and flipped bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from convscout.search_space.errors import StaleAttemptError
from convscout.trials.checkpoints.trial_directory import KEEP, TrialDirectory


@pytest.fixture
def directory(tmp_path: Path) -> TrialDirectory:
    directory = TrialDirectory(tmp_path / "00000")
    directory.claim(1)
    return directory


def _state(epoch: int) -> dict[str, object]:
    return {"epoch": epoch, "model": {"weight": torch.full((3,), float(epoch))}}


def test_the_newest_epoch_comes_back_and_old_ones_go(directory: TrialDirectory) -> None:
    for epoch in range(1, 6):
        directory.save_epoch(epoch, _state(epoch))
    state = directory.load_epoch()
    assert state is not None and state["epoch"] == 5
    assert torch.equal(state["model"]["weight"], torch.full((3,), 5.0))
    assert len(list(directory.path.glob("epoch-*"))) == KEEP


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_epoch_gives_way_to_the_one_before(directory: TrialDirectory, share: float) -> None:
    for epoch in (1, 2):
        directory.save_epoch(epoch, _state(epoch))
    newest = next(directory.path.glob("epoch-0002*"))
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    state = directory.load_epoch()
    assert state is not None and state["epoch"] == 1


def test_a_flipped_bit_is_never_loaded(directory: TrialDirectory) -> None:
    directory.save_best(3, {"weight": torch.ones(64)}, torch.full((5, 2), 0.5))
    path = directory.best_file()
    assert path is not None
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert directory.load_best() is None


def test_the_best_epoch_keeps_weights_and_probabilities(directory: TrialDirectory) -> None:
    directory.save_best(2, {"a.weight": torch.ones(2)}, torch.zeros(4, 3))
    directory.save_best(4, {"a.weight": torch.zeros(2)}, torch.ones(4, 3))
    directory.save_epoch(4, _state(4))
    best = directory.load_best()
    assert best is not None
    assert best.epoch == 4
    assert torch.equal(best.weights["a.weight"], torch.zeros(2))
    assert torch.equal(best.probabilities, torch.ones(4, 3))
    assert len(list(directory.path.glob("best-*"))) == 1


def test_epochs_that_were_the_best_before_are_kept_to_be_averaged(directory: TrialDirectory) -> None:
    for epoch in range(1, 6):
        weights = {"a.weight": torch.full((2,), float(epoch))}
        directory.save_best(epoch, weights, torch.ones(4, 3), raw={"a.weight": torch.zeros(2)})
        directory.save_epoch(epoch, _state(epoch))
    assert [each.epoch for each in directory.load_past()] == [4, 3]
    assert torch.equal(directory.load_past()[0].weights["a.weight"], torch.full((2,), 4.0))
    best = directory.load_best()
    assert best is not None and best.epoch == 5 and best.raw is not None
    assert torch.equal(best.raw["a.weight"], torch.zeros(2))
    damaged = next(directory.path.glob("past-0004*"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert [each.epoch for each in directory.load_past()] == [3]
    assert directory.inspect()[damaged] is False
    directory.discard()
    assert directory.num_bytes == 0 and not directory.inspect()


def test_answers_of_views_are_those_of_their_epoch(directory: TrialDirectory) -> None:
    assert directory.load_views(2) is None
    directory.save_views(2, {"raw plain": torch.ones(4, 3)})
    directory.save_views(3, {"raw plain": torch.zeros(4, 3)})
    found = directory.load_views(3)
    assert found is not None and torch.equal(found["raw plain"], torch.zeros(4, 3))
    assert directory.load_views(2) is None
    (path,) = directory.path.glob("views-*")
    path.write_bytes(path.read_bytes()[:-1])
    assert directory.load_views(3) is None


def test_an_old_attempt_is_told_to_be_silent(directory: TrialDirectory) -> None:
    directory.claim(2)
    directory.check_attempt(2)
    with pytest.raises(StaleAttemptError, match=r"attempt 1 .* replaced by attempt 2"):
        directory.check_attempt(1)


def test_a_claim_sweeps_up_what_a_crash_left(directory: TrialDirectory) -> None:
    directory.save_best(2, {"weight": torch.ones(2)}, torch.zeros(4, 3))
    directory.save_best(4, {"weight": torch.zeros(2)}, torch.ones(4, 3))
    (directory.path / ".epoch-0001.tmp").write_bytes(b"half")
    newest = directory.best_file()
    assert newest is not None
    newest.write_bytes(newest.read_bytes()[:-100])
    directory.claim(2)
    directory.save_epoch(4, _state(4))
    assert not list(directory.path.glob(".*.tmp"))
    best = directory.load_best()
    assert best is not None and best.epoch == 2, "a whole epoch must not give way to half a one"


def test_a_first_attempt_begins_with_nothing(directory: TrialDirectory) -> None:
    directory.save_best(2, {"weight": torch.ones(2)}, torch.zeros(4, 3))
    directory.save_epoch(2, _state(2))
    directory.claim(1)
    assert directory.load_epoch() is None and directory.load_best() is None


def test_what_is_dropped_on_purpose_is_said_to_be(directory: TrialDirectory) -> None:
    directory.save_best(2, {"weight": torch.ones(2)}, torch.zeros(4, 3))
    assert directory.best_epoch == 2 and not directory.discarded
    directory.discard()
    assert directory.best_epoch is None and directory.discarded
    directory.claim(2)
    assert not directory.discarded


def test_closing_again_changes_nothing(directory: TrialDirectory) -> None:
    directory.save_epoch(2, _state(2))
    for _ in range(2):
        directory.close(resumable=True)
        assert directory.resumable and not directory.claimed
    for _ in range(2):
        directory.close()
        assert not directory.resumable and not directory.claimed


def test_of_a_final_trial_the_best_epoch_stays(directory: TrialDirectory) -> None:
    directory.save_best(2, {"weight": torch.ones(2)}, torch.zeros(4, 3))
    directory.save_epoch(2, _state(2))
    directory.settle()
    directory.close()
    assert [path.name[:9] for path in directory.path.iterdir()] == ["best-0002"]
    with pytest.raises(StaleAttemptError, match="is final"):
        directory.check_attempt(1)
