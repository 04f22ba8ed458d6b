"""However a study ended, command line and control plane say the same of it, and which command comes next."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.events.event_log import event_log_path
from convscout.services.events.events import EpochEnded, Event, Listener, SearchStarted
from convscout.services.ledger.lease import lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.schemas.studies import StudyDetail
from convscout.services.schemas.study_status import StudyStatus
from convscout.services.search.command_queue import PAUSE, Command, CommandQueue
from convscout.services.studies import run as study_run
from tests.services.cli.test_study import run
from tests.support.planes import plane_of
from tests.support.studies import DIVERGING, bundle_alone, quiet, tiny_config

Captured = pytest.CaptureFixture[str]
KILLED = """
import os, signal, sys, time
from pathlib import Path
from convscout.services.studies import run
from convscout.services.events.events import EpochEnded
from convscout.services.config.home import Home
from tests.support.studies import tiny_config

def kill(event):
    if isinstance(event, EpochEnded):
        os.kill(os.getpid(), signal.SIGKILL)

run.search(tiny_config("killed", trials=1), Home(Path(sys.argv[1])), kill, time.time())
"""


def _at(moment: type, act: Callable[[], None]) -> Listener:
    """A listener that does ``act`` at the first event of that kind."""

    def listen(event: Event) -> None:
        if isinstance(event, moment):
            act()

    return listen


def _fill_the_disk() -> None:
    raise OSError(ENOSPC, "No space left on device")


def _refuse() -> None:
    raise ConvscoutError("the stars are wrong", next_command="convscout doctor")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a small real study for every way in which one can end."""
    found = Home(tmp_path_factory.mktemp("home"))

    def search(name: str, listener: Listener = quiet, **options: Any) -> None:
        with bundle_alone(), suppress(ConvscoutError):
            study_run.search(tiny_config(name, trials=1, **options), found, listener, time.time())

    search("finished")
    search("no-model", space=DIVERGING, portfolio=False)
    search("paused", _at(EpochEnded, lambda: CommandQueue(found.study("paused")).put(Command(kind=PAUSE))))
    search("stopped", _at(EpochEnded, lambda: os.kill(os.getpid(), signal.SIGINT)))
    search("full-disk", _at(EpochEnded, _fill_the_disk))
    search("refused", _at(SearchStarted, _refuse))
    subprocess.run([sys.executable, "-c", KILLED, str(found.root)], check=False, cwd=Path.cwd())
    return found


@dataclass(frozen=True)
class Stand:
    """What is said of a study: its status, words of its message and the command that comes next."""

    status: StudyStatus
    words: str
    following: str


ENDS = {
    "finished": Stand(StudyStatus.FINISHED, "has a model", "predict finished IMAGE.png"),
    "no-model": Stand(StudyStatus.NO_MODEL, "no model: the only trial failed: 1 × the", "trials no-model"),
    "paused": Stand(StudyStatus.PAUSED, "is paused", "resume paused"),
    "stopped": Stand(StudyStatus.STOPPED, "a person stopped it", "resume stopped"),
    "killed": Stand(StudyStatus.INTERRUPTED, "its process was killed", "resume killed"),
    "full-disk": Stand(
        StudyStatus.FAILED, "it ended with an error: study 'full-disk' cannot go on", "resume full-disk"
    ),
    "refused": Stand(
        StudyStatus.FAILED, "it ended with an error before its first trial: the stars are wrong", "doctor"
    ),
}


def _agreed(home: Home, name: str, capsys: Captured) -> StudyDetail:
    """What the control plane says of a study, once that is also what the command line says."""
    plane = plane_of(home)
    study = plane.study(name)
    assert run("show", name, "--home", home.root, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["status"], shown["message"], shown["trials"]) == (study.status, study.message, study.trials)
    listed = [each for each in plane.studies() if each.name == name]
    assert [each.status for each in listed] == [study.status]
    assert run("studies", "--home", home.root, "--json") == 0
    assert {
        **shown,
        **next(each for each in json.loads(capsys.readouterr().out) if each["name"] == name),
    } == shown
    assert run("show", name, "--home", home.root) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f": {study.status}; trials: " in lines[0] and lines[1] == study.message.splitlines()[0]
    assert lines[-1] == f"next: {shown['next_command']}"
    if study.status is StudyStatus.FINISHED:
        assert shown["next_command"] == f"convscout predict {home.study(name).directory}/export IMAGE.png"
    else:
        assert shown["next_command"] == f"{study.next_command} --home {home.root}"
    return study


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDS)
def test_each_end_has_its_status_its_sentence_and_its_next_command(
    home: Home, name: str, capsys: Captured
) -> None:
    study, wanted = _agreed(home, name, capsys), ENDS[name]
    assert study.status is wanted.status
    assert wanted.words in study.message
    assert study.next_command == f"convscout {wanted.following}"
    assert bool(study.error) == (study.status in (StudyStatus.NO_MODEL, StudyStatus.FAILED))
    assert ("resume" in study.actions) == (study.status is not StudyStatus.FINISHED)
    assert "delete" in study.actions


@contextmanager
def _without_its_journal(home: Home, name: str) -> Iterator[None]:
    """Within, the study is as one of a version that kept no journal."""
    file, kept = event_log_path(home.study(name)), home.root / "kept.jsonl"
    shutil.move(file, kept)
    yield
    shutil.move(kept, file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "status"), [("finished", StudyStatus.FINISHED), ("no-model", StudyStatus.INTERRUPTED)]
)
def test_an_old_study_without_a_journal_tells_by_its_outcome(
    home: Home, name: str, status: StudyStatus, capsys: Captured
) -> None:
    with _without_its_journal(home, name):
        assert _agreed(home, name, capsys).status is status


@pytest.mark.slow
def test_a_study_that_runs_or_is_about_to_pause_is_said_to(home: Home, capsys: Captured) -> None:
    with lease(home.study("no-model")):
        running = _agreed(home, "no-model", capsys)
        assert (running.status, running.error) == (StudyStatus.RUNNING, "")
        CommandQueue(home.study("no-model")).put(Command(kind=PAUSE))
        assert _agreed(home, "no-model", capsys).status is StudyStatus.PAUSING


def test_a_study_of_which_nothing_but_its_ledger_is_there_can_be_resumed(
    tmp_path: Path, capsys: Captured
) -> None:
    home = Home(tmp_path)
    Ledger.create(home, tiny_config("bare"), fingerprint="f" * 64)
    study = _agreed(home, "bare", capsys)
    assert (study.status, study.next_command) == (StudyStatus.INTERRUPTED, "convscout resume bare")


@pytest.mark.parametrize("status", StudyStatus)
def test_every_status_has_a_sentence_and_a_next_command(status: StudyStatus) -> None:
    assert status.sentence("what went wrong")
    assert status.next_command("tiny", model="export").startswith("convscout ")
