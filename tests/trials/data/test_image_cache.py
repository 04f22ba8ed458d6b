"""Decoded images are kept whole or not at all, and the same pixels come out wherever they lie."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from convscout.search_space.errors import ConvscoutError, DataError
from convscout.trials.data import image_cache, image_decoding
from convscout.trials.data.sources import MEMORY_SHARE, DataRequest, load
from convscout.trials.data.splits import DataSplits
from tests.support.image_trees import loaded, noise, sizes, write_animals, write_class


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of ten images that convscout is to split."""
    return write_animals(tmp_path / "animals")


@pytest.fixture
def num_decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one element with every decoding of a tree."""
    calls: list[int] = []

    def counted(*arguments: object) -> object:
        calls.append(1)
        return image_decoding.decode(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(image_cache, "decode", counted)
    return calls


def cache_file(tree: Path) -> Path:
    (path,) = (tree.parent / "cache" / "images").glob("*.npz")
    return path


def test_the_second_load_reads_the_cache(tree: Path, num_decodings: list[int]) -> None:
    (tree / "cat" / "bad.png").write_bytes(b"")
    first, second = loaded(tree, max_bad_images=0.1), loaded(tree, max_bad_images=0.1)
    assert len(num_decodings) == 1
    assert second.fingerprint == first.fingerprint
    assert second.skipped == first.skipped != ()


@pytest.mark.parametrize("change", ["new file", "removed file", "renamed class", "touched file"])
def test_a_changed_tree_is_decoded_again(tree: Path, num_decodings: list[int], change: str) -> None:
    loaded(tree)
    if change == "new file":
        noise(99).save(tree / "cat" / "new.png")
    elif change == "removed file":
        (tree / "cat" / "000.png").unlink()
    elif change == "renamed class":
        (tree / "cat").rename(tree / "eel")
    else:
        os.utime(tree / "cat" / "000.png", ns=(1, 1))
    loaded(tree)
    assert len(num_decodings) == 2
    assert cache_file(tree).exists(), "the new pixels must replace the old ones"


def test_another_size_is_decoded_for_itself(tree: Path, num_decodings: list[int]) -> None:
    for image_size in (None, 16, None, 16):
        loaded(tree, image_size=image_size)
    assert len(num_decodings) == 2


@pytest.mark.parametrize("damage", ["flipped bit", "cut in half", "cut at the end", "emptied", "text"])
def test_a_damaged_cache_is_built_again(tree: Path, num_decodings: list[int], damage: str) -> None:
    first = loaded(tree)
    path = cache_file(tree)
    content = bytearray(path.read_bytes())
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    damaged = {
        "flipped bit": bytes(flipped),
        "cut in half": bytes(content[: len(content) // 2]),
        "cut at the end": bytes(content[:-10]),
        "emptied": b"",
        "text": b"hello",
    }
    path.write_bytes(damaged[damage])
    assert loaded(tree).fingerprint == first.fingerprint
    assert len(num_decodings) == 2
    loaded(tree)
    assert len(num_decodings) == 2, "the cache must be whole again"


def test_progress_counts_to_the_end(tree: Path) -> None:
    told: dict[str, tuple[int, int]] = {}
    request = DataRequest(data=f"folder:{tree}", seed=0, cache=tree.parent / "cache")
    load(request, lambda description, done, total: told.update({description: (done, total)}))
    assert told == {"reading image headers": (20, 20), "decoding images": (20, 20)}


# in memory or in the file


def parts(splits: DataSplits) -> list[bytes]:
    every = (splits.train, splits.validation, splits.open_test())
    return [content for part in every for content in (part.images[:].tobytes(), part.labels.tobytes())]


def test_pixels_left_in_the_file_are_those_held_in_memory(tree: Path) -> None:
    (tree / "cat" / "005.png").write_bytes(b"")
    in_memory = loaded(tree, max_bad_images=0.1)
    mapped = loaded(tree, max_bad_images=0.1, memory=0)
    assert (in_memory.mapped_from, mapped.mapped_from) == (None, cache_file(tree))
    assert parts(mapped) == parts(in_memory)
    assert mapped.fingerprint == in_memory.fingerprint
    assert mapped.normalization == in_memory.normalization
    assert mapped.image == in_memory.image
    assert mapped.num_bytes == in_memory.num_bytes == 19 * 8 * 8 * 3
    assert [pixels.tobytes() for pixels in mapped.train.images] == [
        p.tobytes() for p in in_memory.train.images
    ]


@pytest.mark.parametrize(("spare", "mapped"), [(1, False), (-100, True)])
def test_more_than_a_share_of_the_free_memory_stays_in_the_file(
    tree: Path, monkeypatch: pytest.MonkeyPatch, spare: int, mapped: bool
) -> None:
    class Scarce(NamedTuple):
        available: int = int(20 * 8 * 8 * 3 / MEMORY_SHARE) + spare

    monkeypatch.setattr(psutil, "virtual_memory", Scarce)
    assert (loaded(tree).mapped_from is not None) == mapped


def test_a_changed_tree_does_not_change_pixels_in_use(tree: Path) -> None:
    mapped = loaded(tree, memory=0)
    before = parts(mapped)
    noise(99).save(tree / "cat" / "003.png")
    assert loaded(tree, memory=0).fingerprint != mapped.fingerprint
    assert parts(mapped) == before


# a disk that is full, processes that die or meet


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_nothing_behind(tree: Path) -> None:
    with (
        files_of_at_most(2000),
        pytest.raises(ConvscoutError, match=r"cannot keep .*; make room or change --home"),
    ):
        loaded(tree)
    assert not [path for path in (tree.parent / "cache" / "images").iterdir() if path.suffix != ".lock"]
    assert sum(sizes(loaded(tree))) == 20


def test_a_disk_that_is_too_small_is_told_before_decoding(
    tree: Path, num_decodings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tree)._replace(free=15_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        DataError,
        match=r"20 images of 512x512 pixels take 0\.0157 GB .* but 0\.015 GB is free in .*cache/images; "
        r"make room, choose a smaller --image-size than 512, or another --home",
    ):
        loaded(tree, image_size=512)
    assert not num_decodings
    assert sum(sizes(loaded(tree, image_size=256))) == 20


def test_a_cache_that_cannot_be_written_is_named(tree: Path) -> None:
    (tree.parent / "cache").write_text("a file")
    with pytest.raises(ConvscoutError, match=r"cannot keep decoded images in .*cache/images: "):
        loaded(tree)


def decoding_process(tree: Path) -> subprocess.Popen[str]:
    """Loads ``tree`` as another convscout would, telling its progress; prints the fingerprint in the end."""
    code = (
        "import sys, pathlib\n"
        "from convscout.trials.data.sources import DataRequest, load\n"
        "tree = pathlib.Path(sys.argv[1])\n"
        "request = DataRequest(data=f'folder:{tree}', seed=0, cache=tree.parent / 'cache')\n"
        "print(load(request, lambda *told: print(*told, flush=True)).fingerprint)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(tree)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def await_line(process: subprocess.Popen[str], wanted: Callable[[str], bool]) -> str:
    assert process.stdout is not None
    return next(line for line in process.stdout if wanted(line))


@pytest.mark.slow
def test_a_killed_decoding_is_not_taken_for_whole(tmp_path: Path, num_decodings: list[int]) -> None:
    tree = tmp_path / "animals"
    for name in ("cat", "dog"):
        write_class(tree / name, count=1000)
    with decoding_process(tree) as process:
        await_line(process, lambda line: line.startswith("decoding images"))
        process.kill()
    cache = tmp_path / "cache" / "images"
    assert not list(cache.glob("*.npz"))
    assert list(cache.glob(".*.tmp")), "it must have been killed while it wrote"
    assert sum(sizes(loaded(tree))) == 2000
    assert len(num_decodings) == 1
    assert not list(cache.glob(".*.tmp"))


@pytest.mark.slow
def test_of_two_processes_one_decodes_and_the_other_waits(tmp_path: Path) -> None:
    tree = tmp_path / "animals"
    for name in ("cat", "dog"):
        write_class(tree / name, count=1000)
    with decoding_process(tree) as first:
        await_line(first, lambda line: line.startswith("decoding images"))
        first.send_signal(signal.SIGSTOP)
        with decoding_process(tree) as second:
            await_line(second, lambda line: line.startswith("waiting for another process"))
            first.send_signal(signal.SIGCONT)
            told = second.communicate(timeout=60)[0].splitlines()
        *_, fingerprint = first.communicate(timeout=60)[0].splitlines()
    assert not [line for line in told if line.startswith("decoding")]
    assert told[-1] == fingerprint == loaded(tree).fingerprint
