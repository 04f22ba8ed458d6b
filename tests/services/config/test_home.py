"""Where a home lies: whatever characters its path has, all of it lies there."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from convscout.search_space.errors import ConfigError
from convscout.services.cli.output import predict_hint
from convscout.services.config.home import Home
from convscout.services.control.store import ServiceStore
from convscout.services.ledger.database import open_storage, shown
from convscout.services.tracking.store import TrackingStore

ODD = ["a?b%20c#d {e}+ä%3F'\"\\", "a?uri=true", "%2e%2e"]


@pytest.mark.parametrize("name", ODD)
def test_databases_lie_in_the_home_whatever_characters_its_path_has(tmp_path: Path, name: str) -> None:
    home = Home.at(tmp_path / name / "runs")
    open_storage(home)
    TrackingStore.at(home).client()
    ServiceStore(home.root / "service" / "service.db")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [path.name for path in (tmp_path / name).iterdir()] == ["runs"]
    for database in (home.database, home.tracking_database, home.root / "service" / "service.db"):
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    assert shown(home) == str(home.database)


def test_the_path_of_the_home_next_door_is_not_taken_for_this_one(tmp_path: Path) -> None:
    open_storage(Home.at(tmp_path / "a b"))
    before = (tmp_path / "a b" / "convscout.db").read_bytes()
    open_storage(Home.at(tmp_path / "a%20b"))
    assert (tmp_path / "a%20b" / "convscout.db").exists()
    assert (tmp_path / "a b" / "convscout.db").read_bytes() == before


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x7fb", os.fsdecode(b"a\xffb")])
def test_a_path_that_is_no_line_of_text_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match="--home: must be a path without line breaks"):
        Home.at(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_command_to_type_next_can_be_copied_whatever_the_path() -> None:
    assert predict_hint(Path("/a b")) == "predict: convscout predict '/a b' IMAGE.png"
