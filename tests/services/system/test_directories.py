"""A directory is replaced whole or not at all, whenever the process is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convscout.search_space.errors import ConvscoutError
from convscout.services.system import directories
from convscout.services.system.directories import replacing
from tests.support.places import ROOT

KILLED = 137
REPLACE_AND_DIE = """
import os, sys
from pathlib import Path
from convscout.services.system import directories

moment, target = sys.argv[1], Path(sys.argv[2])
kill = lambda *arguments: os._exit(137)
exchange = directories._exchange

def exchange_and_die(*paths):
    assert exchange(*paths)
    kill()

if moment == "before the exchange":
    directories._exchange = kill
elif moment == "after the exchange":
    directories._exchange = exchange_and_die
elif moment == "between two renames":
    directories._exchange = lambda *paths: False
    rename, Path.rename = Path.rename, lambda self, to: kill() if self.suffix == ".tmp" else rename(self, to)
elif moment == "before the sync":
    directories._sync = kill
with directories.replacing(target) as new:
    (new / "one").write_text("new")
    if moment == "while writing":
        kill()
    (new / "two").write_text("new")
"""


def _fill(directory: Path, text: str) -> None:
    with replacing(directory) as new:
        for name in ("one", "two"):
            (new / name).write_text(text)


def _contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


OLD, NEW = ({"one": text, "two": text} for text in ("old", "new"))


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as on a system without an atomic exchange."""
    if not request.param:
        monkeypatch.setattr(directories, "_exchange", lambda first, second: False)


@pytest.mark.usefixtures("both_ways")
def test_a_directory_is_made_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "export"
    _fill(target, "old")
    _fill(target, "new")
    assert _contents(target) == NEW
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.usefixtures("both_ways")
def test_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "export"
    _fill(target, "old")
    with pytest.raises(KeyError), replacing(target) as new:
        (new / "one").write_text("new")
        raise KeyError
    assert _contents(target) == OLD
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("while writing", OLD),
        ("before the sync", OLD),
        ("before the exchange", OLD),
        ("after the exchange", NEW),
    ],
)
def test_a_kill_leaves_the_old_or_the_new_one_whole(
    tmp_path: Path, moment: str, left: dict[str, str]
) -> None:
    target = tmp_path / "export"
    _fill(target, "old")
    assert _replace_and_die(moment, target) == KILLED
    assert _contents(target) == left
    _fill(target, "next")
    assert list(tmp_path.iterdir()) == [target]  # what the killed run left is swept up


def test_a_kill_between_two_renames_is_mended_by_the_next_run(tmp_path: Path) -> None:
    target = tmp_path / "export"
    _fill(target, "old")
    assert _replace_and_die("between two renames", target) == KILLED
    assert not target.exists()
    with pytest.raises(KeyError), replacing(target):
        assert _contents(target) == OLD
        raise KeyError
    assert _contents(target) == OLD
    assert list(tmp_path.iterdir()) == [target]


def test_a_path_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConvscoutError, match=r"cannot write .*export: (Not a directory|File exists)"):
        _fill(tmp_path / "file" / "export", "new")


def _replace_and_die(moment: str, target: Path) -> int:
    command = [sys.executable, "-c", REPLACE_AND_DIE, moment, str(target)]
    return subprocess.run(command, cwd=ROOT, timeout=60).returncode
