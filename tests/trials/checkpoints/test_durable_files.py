"""A file is there whole or not at all, and is flushed as far as was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from convscout.trials.checkpoints.durable_files import Durability, placing, put_file


@pytest.mark.parametrize(
    ("durability", "flushed"),
    [(Durability.ATOMIC, []), (Durability.FLUSHED, ["file"]), (Durability.DURABLE, ["file", "directory"])],
)
def test_each_level_flushes_what_it_promises(
    durability: Durability, flushed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def note(descriptor: int) -> None:
        seen.append("directory" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")

    monkeypatch.setattr("convscout.trials.checkpoints.durable_files.os.fsync", note)
    put_file(tmp_path / "file", b"new", durability)
    assert seen == flushed
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (
        tmp_path / "file"
    ).read_bytes() == b"new"


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    put_file(target, b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("convscout.trials.checkpoints.durable_files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        put_file(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    put_file(target, b"old")
    with pytest.raises(ValueError, match="in the middle"), placing(target, Durability.ATOMIC) as fresh:
        fresh.write_bytes(b"half")
        raise ValueError("in the middle")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
