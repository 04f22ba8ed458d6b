"""The events of a study are kept as lines, from which any process learns what the one that runs it knows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from convscout.search_space.errors import ConfigError, DataError, NoModelError, StudyInterrupted
from convscout.services.config.home import Home
from convscout.services.events.event_log import entries, event_log_path, last_run, record_events
from convscout.services.events.events import EpochEnded, Event, Loading, Notice, PauseStarted, TrialEnded
from convscout.services.events.facts import event_of
from convscout.services.events.progress import StudyProgress
from convscout.services.ledger.ledger import Ledger
from convscout.services.search.command_queue import PAUSE, Command, CommandQueue
from convscout.services.studies import run
from tests.support.records import record
from tests.support.studies import bundle_alone, quiet, tiny_config


def _kinds(home: Home, name: str = "tiny") -> list[str]:
    return [entry.kind for entry in entries(event_log_path(home.study(name)))]


@pytest.mark.slow
def test_progress_made_from_the_event_log_is_that_of_the_process_that_ran_the_study(tmp_path: Path) -> None:
    home, live = Home(tmp_path), StudyProgress()
    with bundle_alone():
        run.search(tiny_config(), home, live.apply, time.time())
    ledger, read = Ledger.open(home.study("tiny")), StudyProgress()
    for entry in entries(event_log_path(home.study("tiny"))):
        if event := event_of(entry.kind, entry.facts, ledger.trial):
            read.apply(event)
    assert [trial.number for trial in read.ended] == [trial.number for trial in live.ended]
    assert read.ranking == live.ranking
    assert (read.search, read.phase, read.notices) == (live.search, live.phase, live.notices)
    kinds = _kinds(home)
    assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")
    assert kinds.count("epoch") == 6


def test_reading_goes_on_where_it_was(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with record_events(home.study("s"), quiet, "search") as notify:
        for number in range(5):
            notify(Notice(text=f"{number}"))
    path = event_log_path(home.study("s"))
    whole = list(entries(path))
    for place, entry in enumerate(whole):
        assert list(entries(path, entry.end)) == whole[place + 1 :]
    assert list(entries(path, 10**9)) == whole  # of a journal that was begun anew since


def test_a_line_that_a_crash_cut_short_is_skipped(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path = event_log_path(home.study("s"))
    with record_events(home.study("s"), quiet, "search") as notify:
        notify(Notice(text="before"))
    with path.open("ab") as file:
        file.write(b'{"at": 1, "type": "noti')
    assert [entry.kind for entry in entries(path)][-1] == "run_ended"
    with record_events(home.study("s"), quiet, "resume") as notify:
        notify(Notice(text="after"))
    texts = [entry.facts["text"] for entry in entries(path) if entry.kind == "notice"]
    assert texts == ["before", "after"]
    latest = [entry.kind for entry in entries(path, last_run(path))]
    assert latest == ["run_started", "notice", "run_ended"]


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (StudyInterrupted("it rests", paused=True), "paused"),
        (StudyInterrupted("Ctrl-C"), "stopped"),
        (KeyboardInterrupt(), "stopped"),
        (DataError("no images"), "failed"),
        (NoModelError("no model: the only trial failed"), "no_model"),
    ],
)
def test_how_a_run_ended_is_told(tmp_path: Path, error: BaseException, how: str) -> None:
    home = Home(tmp_path)
    with pytest.raises(type(error)), record_events(home.study("s"), quiet, "search"):
        raise error
    *_, last = entries(event_log_path(home.study("s")))
    assert last.facts["how"] == how


def test_reading_of_thousands_of_images_is_told_a_few_times(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with record_events(home.study("s"), quiet, "search") as notify:
        for done in range(1, 5001):
            notify(Loading(description="decoding", done=done, total=5000))
    found = [
        entry.facts["done"] for entry in entries(event_log_path(home.study("s"))) if entry.kind == "loading"
    ]
    assert found[-1] == 5000 and len(found) < 50


def test_nothing_is_left_of_a_study_that_was_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises((DataError, ConfigError)):
        run.search(tiny_config(data=f"folder:{tmp_path / 'none'}"), home, quiet, time.time())
    assert not home.study("tiny").directory.exists()


@pytest.mark.slow
def test_a_pause_that_is_asked_for_while_the_data_is_read_is_obeyed(tmp_path: Path) -> None:
    home = Home(tmp_path)

    def asking(event: Event) -> None:
        if isinstance(event, Notice) and Ledger.names(home) and Ledger.open(home.study("tiny")).holder:
            CommandQueue(home.study("tiny")).put(Command(kind=PAUSE))

    CommandQueue(home.study("tiny")).put(
        Command(kind=PAUSE)
    )  # left over from an earlier run, if there were one
    ended: list[int] = []

    def listener(event: Event) -> None:
        asking(event)
        if isinstance(event, TrialEnded | EpochEnded):
            ended.append(event.trial.number)

    with bundle_alone():
        run.search(tiny_config(), home, quiet, time.time())
        with pytest.raises(StudyInterrupted) as caught:
            run.resume(home.study("tiny"), listener, time.time(), changes={"trials": "+2"})
    assert caught.value.paused
    assert not ended


def test_a_pause_is_read_as_what_it_is(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with record_events(home.study("s"), quiet, "search") as notify:
        notify(PauseStarted())
    _, paused, _ = entries(event_log_path(home.study("s")))
    event = event_of(paused.kind, paused.facts, record)
    assert event == PauseStarted() and isinstance(event, Notice)
