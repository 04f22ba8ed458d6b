"""What a study tells is kept as lines, from which any process learns what the one that runs it knows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from search_space.errors import ConfigError, DataError, NoModelError, StudyInterrupted
from services import runner
from services.board import Board
from services.events import EpochEnded, Event, Loading, Notice, TrialEnded
from services.home import Home
from services.inbox import PAUSE, Inbox, Message
from services.journal import entries, event_of, journal_file, journalled, last_run
from services.study import Ledger
from tests.services.studies import bundle_alone, quiet, tiny_config


def _kinds(home: Home, name: str = "tiny") -> list[str]:
    return [entry.kind for entry in entries(journal_file(home, name))]


@pytest.mark.slow
def test_a_board_made_from_the_journal_is_that_of_the_process_that_ran_the_study(tmp_path: Path) -> None:
    home, live = Home(tmp_path), Board()
    with bundle_alone():
        runner.search(tiny_config(), home, live.apply, time.time())
    ledger, told = Ledger.open(home, "tiny"), Board()
    for entry in entries(journal_file(home, "tiny")):
        if event := event_of(entry, ledger.trial):
            told.apply(event)
    assert [trial.number for trial in told.ended] == [trial.number for trial in live.ended]
    assert told.ranking == live.ranking
    assert (told.search, told.phase, told.notices) == (live.search, live.phase, live.notices)
    kinds = _kinds(home)
    assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")
    assert kinds.count("epoch") == 6


def test_reading_goes_on_where_it_was(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with journalled(home, "s", quiet, "search") as told:
        for number in range(5):
            told(Notice(text=f"{number}"))
    path = journal_file(home, "s")
    whole = list(entries(path))
    for place, entry in enumerate(whole):
        assert list(entries(path, entry.end)) == whole[place + 1 :]
    assert list(entries(path, 10**9)) == whole  # of a journal that was begun anew since


def test_a_line_that_a_crash_cut_short_is_skipped(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path = journal_file(home, "s")
    with journalled(home, "s", quiet, "search") as told:
        told(Notice(text="before"))
    with path.open("ab") as file:
        file.write(b'{"at": 1, "type": "noti')
    assert [entry.kind for entry in entries(path)][-1] == "run_ended"
    with journalled(home, "s", quiet, "resume") as told:
        told(Notice(text="after"))
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
    with pytest.raises(type(error)), journalled(home, "s", quiet, "search"):
        raise error
    *_, last = entries(journal_file(home, "s"))
    assert last.facts["how"] == how


def test_reading_of_thousands_of_images_is_told_a_few_times(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with journalled(home, "s", quiet, "search") as told:
        for done in range(1, 5001):
            told(Loading(description="decoding", done=done, total=5000))
    found = [entry.facts["done"] for entry in entries(journal_file(home, "s")) if entry.kind == "loading"]
    assert found[-1] == 5000 and len(found) < 50


def test_nothing_is_left_of_a_study_that_was_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises((DataError, ConfigError)):
        runner.search(tiny_config(data=f"folder:{tmp_path / 'none'}"), home, quiet, time.time())
    assert not home.study("tiny").exists()


@pytest.mark.slow
def test_a_pause_that_is_asked_for_while_the_data_is_read_is_obeyed(tmp_path: Path) -> None:
    home = Home(tmp_path)

    def asking(event: Event) -> None:
        if isinstance(event, Notice) and Ledger.names(home) and Ledger.open(home, "tiny").holder:
            Inbox(home, "tiny").put(Message(kind=PAUSE))

    Inbox(home, "tiny").put(Message(kind=PAUSE))  # left over from an earlier run, if there were one
    ended: list[int] = []

    def listener(event: Event) -> None:
        asking(event)
        if isinstance(event, TrialEnded | EpochEnded):
            ended.append(event.trial.number)

    with bundle_alone():
        runner.search(tiny_config(), home, quiet, time.time())
        with pytest.raises(StudyInterrupted) as caught:
            runner.resume("tiny", home, listener, time.time(), changes={"trials": "+2"})
    assert caught.value.paused
    assert not ended
