"""The log on a study's page holds the latest events that have a text, each with the trial that it is about."""

from __future__ import annotations

from pathlib import Path

from convscout.services.config.home import Home
from convscout.services.events.event_log import event_log_path, record_events
from convscout.services.server.pages.event_feed import latest_happenings
from convscout.trials.config import TrialState
from tests.support.records import life, record
from tests.support.studies import quiet


def test_the_latest_events_come_first_and_name_their_trial_apart(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with record_events(home.study("s"), quiet, "search") as notify:
        for event in life(record(12, 0.5, state=TrialState.STOPPED, reason="asha at epoch 1")):
            notify(event)
    found = latest_happenings(event_log_path(home.study("s")), 4)
    assert [(each.trial, each.text) for each in found] == [
        (None, "the run ended: finished"),
        (12, " stopped: lenet, 61.7k parameters, validation 50.00% at epoch 1 of 10, asha at epoch 1"),
        (12, " epoch 1: validation 50.00%"),
        (12, " started: lenet"),
    ]
    assert [each.text for each in latest_happenings(event_log_path(home.study("s")), 10)][-1] == (
        "a run began: convscout search"
    )


def test_a_study_without_an_event_log_has_no_events(tmp_path: Path) -> None:
    assert latest_happenings(tmp_path / "none.jsonl", 10) == []
