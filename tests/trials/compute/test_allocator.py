"""Freed memory stays for the next step while somebody computes, and is given back once nobody does."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys

import psutil
import pytest
import torch

from convscout.trials.compute.allocator import SETTINGS, describe_allocator, kept_memory

BYTES = 64 * 2**20
STEPS = 4

needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="this C library is not glibc, whose allocator is told"
)


def allocate() -> None:
    """What a step does: takes memory, writes to it, and frees it in another order."""
    tensors = [torch.zeros(BYTES // 4) for _ in range(3)]
    while tensors:
        tensors.pop(0)


def faults_a_step() -> float:
    """Pages that the kernel hands out in a step, once the first have shown what it takes."""
    for _ in range(STEPS):
        allocate()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(STEPS):
        allocate()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / STEPS


def tell() -> None:
    """Prints faults a step outside, within and after, and the memory within and after, in steps' worth."""
    outside = faults_a_step()
    with kept_memory(), kept_memory():
        within = faults_a_step()
        kept = psutil.Process().memory_info().rss
    after = psutil.Process().memory_info().rss
    print(outside, within, (kept - after) / (3 * BYTES))


def told(**environment: str) -> list[float]:
    # in a process of its own, whose heap is that of a fresh one
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    answer = subprocess.run(
        [sys.executable, "-m", "tests.trials.compute.test_allocator"],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(each) for each in answer.stdout.split()]


@needs_glibc
def test_within_freed_memory_is_kept_and_afterwards_given_back() -> None:
    outside, within, given_back = told()
    assert outside > 50 * max(1, within), (
        "each step gets its pages anew; of huge ones, if the kernel always gives them, 96"
    )
    assert given_back > 0.9


@needs_glibc
def test_what_a_person_has_set_is_left_as_it_is() -> None:
    outside, within, given_back = told(MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072")
    assert within > outside / 2 and abs(given_back) < 0.1


def test_a_person_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        monkeypatch.delenv(name)
    if platform.libc_ver()[0] == "glibc":
        assert describe_allocator().startswith("freed memory is kept for the next step, huge pages: ")
        monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
        assert describe_allocator() == "freed memory is handled as GLIBC_TUNABLES says"
    monkeypatch.setattr("sys.platform", "darwin")
    assert "goes back to the system" in describe_allocator()


if __name__ == "__main__":
    tell()
