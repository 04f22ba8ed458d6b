"""How much memory is free, also in a container that the system tells less than it has."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from convscout.search_space.errors import DataError
from convscout.trials.compute import memory
from convscout.trials.compute.memory import available_memory, require_memory


class Machine(NamedTuple):
    available: int = 8_000_000_000


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the limits of a container are written, on a machine with 8 GB free."""
    monkeypatch.setattr(psutil, "virtual_memory", Machine)
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path)
    return tmp_path


def write(container: Path, limit: str, used: str, stat: str = "anon 5\n") -> None:
    for name, text in (("memory.max", limit), ("memory.current", used), ("memory.stat", stat)):
        (container / name).write_text(f"{text}\n")


def test_without_a_container_it_is_what_the_machine_has(container: Path) -> None:
    assert available_memory() == 8_000_000_000


@pytest.mark.parametrize(
    ("limit", "used", "stat", "expected"),
    [
        ("max", "1000", "anon 5", 8_000_000_000),
        ("20000000000", "1000", "anon 5", 8_000_000_000),
        ("3000000000", "1000000000", "anon 5", 2_000_000_000),
        ("3000000000", "3000000000", "active_file 400\ninactive_file 100000000", 100_000_400),
        ("1000", "2000", "anon 5", 0),
    ],
)
def test_a_container_may_have_less(container: Path, limit: str, used: str, stat: str, expected: int) -> None:
    write(container, limit, used, stat)
    assert available_memory() == expected


def test_what_does_not_fit_is_refused_with_a_remedy(container: Path) -> None:
    require_memory(8_000_000_000, what="images", remedy="use fewer")
    with pytest.raises(DataError, match=r"images need 8.1 GB of memory, but 8.0 GB is free; use fewer"):
        require_memory(8_100_000_000, what="images", remedy="use fewer")
