"""Epochs are written behind the training's back: from a copy, one at a time, and errors come to light."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from convscout.search_space.errors import StaleAttemptError
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.checkpoints.writer import CheckpointWriter, snapshot


class SlowDirectory(TrialDirectory):
    """A trial's directory on a disk that writes nothing until ``go`` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.go = threading.Event()

    def save_epoch(self, epoch: int, state: Mapping[str, Any]) -> None:
        assert self.go.wait(timeout=30)
        super().save_epoch(epoch, state)


@pytest.fixture
def directory(tmp_path: Path) -> SlowDirectory:
    directory = SlowDirectory(tmp_path / "00000")
    directory.claim(1)
    return directory


def _epochs(directory: TrialDirectory) -> list[str]:
    return sorted(path.name[:10] for path in directory.path.glob("epoch-*"))


def test_training_on_does_not_change_what_is_written(directory: SlowDirectory) -> None:
    weight = torch.arange(6.0).view(1, 2, 3, 1).to(memory_format=torch.channels_last)
    state = {
        "model": {"weight": weight},
        "optimizer": {"state": {0: {"momentum": weight[0, 0]}}, "lr": [0.1]},
    }
    expected = weight.clone()
    with CheckpointWriter(directory, 1) as writer:
        writer.save_epoch(1, state)
        weight.zero_()
        state["optimizer"]["lr"].append(0.2)
        directory.go.set()
    saved = directory.load_epoch()
    assert saved is not None
    assert torch.equal(saved["model"]["weight"], expected)
    assert saved["model"]["weight"].stride() == weight.stride()
    assert torch.equal(saved["optimizer"]["state"][0]["momentum"], expected[0, 0])
    assert saved["optimizer"]["lr"] == [0.1]


def test_a_snapshot_shares_nothing() -> None:
    tensors = {"list": [torch.ones(2)], "tuple": (torch.ones(2), "text", None, 3)}
    copied = snapshot(tensors)
    tensors["list"][0].zero_()
    tensors["tuple"][0].zero_()
    assert torch.equal(copied["list"][0], torch.ones(2))
    assert torch.equal(copied["tuple"][0], torch.ones(2)) and copied["tuple"][1:] == ("text", None, 3)


def test_at_most_one_epoch_is_not_on_disk(directory: SlowDirectory) -> None:
    with CheckpointWriter(directory, 1) as writer:
        writer.save_epoch(1, {"epoch": 1})
        assert _epochs(directory) == [], "it did not wait for the disk, which is held up"
        threading.Timer(0.3, directory.go.set).start()
        writer.save_epoch(2, {"epoch": 2})
        assert directory.go.is_set() and "epoch-0001" in _epochs(directory)
        writer.wait()
        assert _epochs(directory) == ["epoch-0001", "epoch-0002"]


def test_everything_is_on_disk_when_training_breaks_off(directory: SlowDirectory) -> None:
    with pytest.raises(KeyboardInterrupt), CheckpointWriter(directory, 1) as writer:
        writer.save_epoch(1, {"epoch": 1})
        threading.Timer(0.3, directory.go.set).start()
        raise KeyboardInterrupt
    assert _epochs(directory) == ["epoch-0001"]


@pytest.mark.parametrize("when", ["next epoch", "end"])
def test_an_error_of_the_writer_comes_to_light(
    directory: SlowDirectory, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    directory.go.set()
    monkeypatch.setattr("convscout.trials.checkpoints.durable_files.os.fsync", full_disk)
    reached = []
    with pytest.raises(OSError, match="No space left"), CheckpointWriter(directory, 1) as writer:
        writer.save_epoch(1, {"epoch": 1})
        if when == "next epoch":
            writer.save_epoch(2, {"epoch": 2})
        reached.append("end")
    assert reached == (["end"] if when == "end" else [])
    assert _epochs(directory) == [] and not list(directory.path.glob(".*.tmp"))


def test_a_replaced_attempt_writes_nothing(directory: SlowDirectory) -> None:
    directory.go.set()
    directory.claim(2)
    with (
        pytest.raises(StaleAttemptError, match="replaced by attempt 2"),
        CheckpointWriter(directory, 1) as writer,
    ):
        writer.save_epoch(1, {"epoch": 1})
    assert _epochs(directory) == []


def test_an_epoch_that_is_under_way_when_its_trial_ends_leaves_no_file(directory: SlowDirectory) -> None:
    with CheckpointWriter(directory, 1) as writer:
        writer.save_epoch(1, {"epoch": 1})
        time.sleep(0.1)  # the writer has seen that the attempt may write
        directory.close()
        directory.go.set()
    assert _epochs(directory) == []
    with pytest.raises(StaleAttemptError, match="is final"):
        directory.check_attempt(1)
