"""A study that dies just when a trial is to be stopped stops it when it is resumed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from convscout.services.config.home import Home
from convscout.services.events.events import EpochEnded, Event
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run
from convscout.trials.config import TrialState
from convscout.trials.end_reason import EndReason
from tests.support.studies import bundle_alone, essences, quiet, tiny_config

# Random rates, so that some are stopped.
OPTIONS = {
    "trials": 6,
    "epochs": 6,
    "pruner": "asha",
    "fair": "none",
    "portfolio": False,
    "space": {"lenet.width": 4, "recipe.batch_size": 256, "recipe.optimizer": "sgd"},
}


class Death(Exception):
    """The process dies here."""


@pytest.mark.slow
@bundle_alone()
def test_what_was_to_be_stopped_when_the_process_died_is_stopped_by_the_resume(tmp_path: Path) -> None:
    straight, broken = Home(tmp_path / "straight"), Home(tmp_path / "broken")
    run.search(tiny_config(**OPTIONS), straight, quiet, time.time())
    stopped = next(
        record
        for record in Ledger.open(straight.study("tiny")).trials()
        if record.state is TrialState.STOPPED
    )
    last = stopped.measurements[-1].epoch
    assert (stopped.reason, stopped.reason_code) == (f"asha at epoch {last}", EndReason.PRUNED)

    def die(event: Event) -> None:
        if isinstance(event, EpochEnded) and (event.trial.number, event.measurement.epoch) == (
            stopped.number,
            last,
        ):
            raise Death

    with pytest.raises(Death):
        run.search(tiny_config(**OPTIONS), broken, die, time.time())
    left = Ledger.open(broken.study("tiny")).trial(stopped.number)
    assert left.state is TrialState.RUNNING and left.measurements[-1].epoch == last
    run.resume(broken.study("tiny"), quiet, time.time())
    ended = Ledger.open(broken.study("tiny")).trial(stopped.number)
    assert (ended.state, ended.reason, ended.attempt) == (TrialState.STOPPED, stopped.reason, 2)
    assert essences(broken.root, "tiny") == essences(straight.root, "tiny")
