"""Trials in threads of one process: the same ledger as one after another, whatever happens to one of them.

They train on the CPU here, without dropout; see ``InProcessExecutor`` for why a search has them on GPUs alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from convscout.search_space.errors import StudyInterrupted
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.events.events import EpochEnded, Event, Listener, TrialEnded, TrialStarted
from convscout.services.executors.placement import Placement
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run
from convscout.trials.config import TrialState
from tests.support.studies import TINY_SPACE, bundle_alone, essences, quiet, tiny_config

WORKERS = 3
NO_DROPOUT = {"lenet.dropout_kind": "none", "lenet.head_dropout": 0.0}


@pytest.fixture
def _side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a study on a GPU is given."""
    for user in ("run", "session"):
        monkeypatch.setattr(
            f"convscout.services.studies.{user}.place",
            lambda config, data, cluster: Placement(workers=WORKERS),
        )


def study(name: str, **options: Any) -> StudyConfig:
    space = {**TINY_SPACE, **NO_DROPOUT, **options.pop("space", {})}
    return tiny_config(name, space=space, **{"trials": 5, "epochs": 3, **options})


def search(home: Path, name: str, listener: Listener = quiet, **options: Any) -> None:
    with bundle_alone():
        run.search(study(name, **options), Home(home), listener, time.time())


def trial_threads() -> list[str]:
    return [
        thread.name for thread in threading.enumerate() if thread.name.startswith(("trial", "checkpoint"))
    ]


class Watch:
    """Who is told what, and how many trials train at once."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.running: set[int] = set()
        self.most = 0

    def __call__(self, event: Event) -> None:
        self.threads.add(threading.get_ident())
        match event:
            case TrialStarted(trial=trial):
                self.running.add(trial.number)
            case TrialEnded(trial=trial):
                self.running.discard(trial.number)
        self.most = max(self.most, len(self.running))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """What the same study comes to when it trains one trial after another."""
    home = tmp_path_factory.mktemp("alone")
    search(home, "study")
    return essences(home, "study")


@pytest.mark.slow
def test_the_ledger_is_that_of_one_after_another(
    alone: list[tuple[object, ...]], tmp_path: Path, _side_by_side: None
) -> None:
    watch, threads = Watch(), torch.get_num_threads()
    search(tmp_path, "study", watch)
    assert essences(tmp_path, "study") == alone
    assert watch.most == WORKERS and not watch.running
    assert watch.threads == {threading.get_ident()}, "the controller was called from another thread"
    assert not trial_threads() and torch.get_num_threads() == threads


@pytest.mark.slow
def test_the_failure_of_one_trial_is_its_own(tmp_path: Path, _side_by_side: None) -> None:
    def take_directory(event: Event) -> None:
        if isinstance(event, TrialStarted) and event.trial.number == 1:
            shutil.rmtree(Home(tmp_path).study("study").trial(1))

    search(tmp_path, "study", take_directory)
    records = Ledger.open(Home(tmp_path).study("study")).trials()
    failed, completed = TrialState.FAILED, TrialState.COMPLETED
    assert [record.state for record in records] == [completed, failed, completed, completed, completed]
    assert records[1].reason and not records[1].measurements
    assert all(len(record.measurements) == 3 for record in records if record.number != 1)


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["interrupted", "broken"])
def test_a_search_cut_short_goes_on_where_it_was(
    ended: str, alone: list[tuple[object, ...]], tmp_path: Path, _side_by_side: None
) -> None:
    pressed = False

    def cut_short(event: Event) -> None:
        nonlocal pressed
        if isinstance(event, EpochEnded) and event.measurement.epoch == 2 and not pressed:
            if ended == "broken":
                raise RuntimeError("the search itself broke")
            pressed = True  # once: the second Ctrl-C ends the process
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StudyInterrupted if ended == "interrupted" else RuntimeError):
        search(tmp_path, "study", cut_short)
    assert not trial_threads()
    ledger = Ledger.open(Home(tmp_path).study("study"))
    unfinished = [r.number for r in ledger.trials() if r.state is TrialState.RUNNING]
    assert len(unfinished) >= 2
    with bundle_alone():
        run.resume(Home(tmp_path).study("study"), quiet, time.time())
    records = Ledger.open(Home(tmp_path).study("study")).trials()
    assert [r.attempt for r in records if r.number in unfinished] == [2] * len(unfinished)
    assert essences(tmp_path, "study") == alone


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_trials_on_streams_of_a_gpu_all_complete(tmp_path: Path) -> None:
    watch = Watch()
    options = dict(device="cuda", workers=WORKERS, epochs=4, precision="auto")
    search(tmp_path, "study", watch, **options)
    records = Ledger.open(Home(tmp_path).study("study")).trials()
    assert watch.most == WORKERS
    assert [record.state for record in records] == [TrialState.COMPLETED] * 5
    assert all([m.epoch for m in record.measurements] == [1, 2, 3, 4] for record in records)
