"""Ray Tune and the in-process executor fill the same ledger, and a lost worker costs no trial."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.events.events import EpochEnded, Event, Notice, TrialEnded
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run, session
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import TrialState
from tests.support.places import ROOT
from tests.support.studies import bundle_alone, essences, quiet, tiny_config

# While Ray shuts down, another thread leaves what only the collector frees, in whichever thread it runs.
LITTERED = """
import gc, sys, threading, time
from pathlib import Path
import ray
from convscout.services.studies import run
from convscout.services.studies import session
from convscout.services.config.home import Home
from tests.support.studies import bundle_alone, quiet, tiny_config

class Circle:
    def __init__(self, reference):
        self.reference, self.itself = reference, self

def litter(references):
    while references:
        Circle(references.pop())

def disconnect(*args, then=ray._private.worker.disconnect):
    if not ray.is_initialized():
        return then(*args)
    binary = ray.put(0).binary()
    references = [ray.ObjectRef(binary) for _ in range(300_000)]
    gc.set_threshold(5)
    threading.Thread(target=litter, args=(references,), daemon=True).start()
    then(*args)
    print(bool(references), flush=True)

ray._private.worker.disconnect = disconnect
config = tiny_config("littered", executor="ray", workers=1, trials=1, epochs=1)
with bundle_alone():
    run.search(config, Home(Path(sys.argv[1])), quiet, time.time())
print("ended", flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
@bundle_alone()
def test_both_executors_leave_the_same_ledger(tmp_path: Path) -> None:
    for executor in ("in-process", "ray"):
        config = tiny_config(executor, executor=executor, workers=1, epochs=1)
        run.search(config, Home(tmp_path), quiet, time.time())
    assert essences(tmp_path, "ray") == essences(tmp_path, "in-process")


@pytest.mark.slow
@pytest.mark.timeout(240)
@bundle_alone()
def test_a_killed_worker_costs_no_trial_and_no_finished_epoch(tmp_path: Path) -> None:
    notices: list[str] = []
    killed: list[int] = []

    def kill_one_worker(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)
        if isinstance(event, EpochEnded) and event.measurement.epoch == 2 and not killed:
            children = psutil.Process().children(recursive=True)
            next(child for child in children if "Trainable" in " ".join(child.cmdline())).kill()
            killed.append(event.trial.number)

    config = tiny_config("lost", executor="ray", workers=1, trials=2, epochs=6, space={"lenet.width": 16})
    run.search(config, Home(tmp_path), kill_one_worker, time.time())
    records = Ledger.open(Home(tmp_path).study("lost")).trials()
    assert killed and any("worker process died" in text for text in notices)
    assert [record.state for record in records] == [TrialState.COMPLETED] * 2
    assert [m.epoch for m in records[killed[0]].measurements] == [1, 2, 3, 4, 5, 6]
    assert records[killed[0]].attempt == 2 and records[killed[0]].worker_failures == 1


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("executor", ["in-process", "ray"])
@bundle_alone()
def test_of_a_trial_that_the_pruner_stops_the_best_epoch_is_on_disk(tmp_path: Path, executor: str) -> None:
    seen = []

    def look_when_stopped(event: Event) -> None:
        if isinstance(event, TrialEnded) and event.trial.state is TrialState.STOPPED:
            kept, best = (
                TrialDirectory(home.study("pruned").trial(event.trial.number)).load_best(),
                event.trial.best,
            )
            assert kept is not None and best is not None
            right = (kept.probabilities.argmax(1).numpy() == labels).mean()
            seen.append((kept.epoch, right) == (best.epoch, pytest.approx(best.val_accuracy)))

    home = Home(tmp_path)
    options = dict(pruner="median", trials=9, epochs=4, space={"lenet.width": 4}, portfolio=False)
    config = tiny_config("pruned", executor=executor, workers=1, **options)
    labels = session.load_data(config, home, quiet).validation.labels
    run.search(config, home, look_when_stopped, time.time())
    assert seen and all(seen)
    ledger = Ledger.open(home.study("pruned"))
    for record in ledger.trials():  # who was stopped may be let go on
        assert TrialDirectory(ledger.ref.trial(record.number)).resumable == (
            record.state is TrialState.STOPPED
        )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_error_of_the_search_comes_through_ray_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscout.services.search.controller.MAX_REJECTIONS", 10)
    config = tiny_config("dear", executor="ray", workers=1, max_params=1)
    with pytest.raises(ConvscoutError, match="candidates were all rejected"):
        run.search(config, Home(tmp_path), quiet, time.time())


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_garbage_of_another_thread_ends_no_search(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", LITTERED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["True", "ended"]  # there was litter left when it mattered
