"""What the process that runs a study holds in memory as its trials add up.

python -m benchmarks.controller_memory
python -m benchmarks.controller_memory --counts 1 50 200 1000 --executors in-process ray

The search, the ledger, the executors, the files and MLflow's thread are the real ones; the trials train one weight on
ten images for one epoch. Memory is read once MLflow has all trials so far. Each executor has a fresh process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import markdown, write
from benchmarks.empty_trial import installed
from benchmarks.trial_overhead import DATA, follow, make_executor, new_study
from convscout.services.config.study_config import EXECUTORS
from convscout.services.events.events import Event, TrialEnded
from convscout.services.plugins import samplers
from convscout.services.search.controller import Search
from convscout.services.tracking.mirror import Mirror

_ROLLUP = Path("/proc/self/smaps_rollup")
KINDS = ("Rss", "Pss", "Anonymous")  # as the kernel calls them
MB = 2**20
_POLL_S = 0.2


@dataclass
class Scale:
    """A listener that weighs its process after each of ``counts`` trials."""

    counts: Sequence[int]
    mirror: Mirror
    ended: int = 0
    weighed: list[dict[str, int]] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        if not isinstance(event, TrialEnded):
            return
        self.ended += 1
        if self.ended in self.counts:
            while self.mirror.pending:
                time.sleep(_POLL_S)
            self.weighed.append({"trials": self.ended, **held_bytes()})


def held_bytes() -> dict[str, int]:
    """Bytes that this process holds now, by kind."""
    lines = (line.split() for line in _ROLLUP.read_text().splitlines())
    sizes = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1] == "kB"}
    return {f"{kind.lower()}_bytes": sizes[kind] for kind in KINDS}


def weigh(executor: str, sampler: str, counts: Sequence[int]) -> list[dict[str, int]]:
    """What this process holds after each of ``counts`` trials of a search that it runs."""
    with installed(), TemporaryDirectory() as root:
        ledger, setting = new_study(Path(root), executor, max(counts), sampler)
        mirror = follow(ledger)
        scale = Scale(counts, mirror)
        search = Search(ledger, setting, listener=scale, touch=mirror.touch, interrupted=lambda: False)
        search.prepare()
        make_executor(executor, DATA).run(search)
        mirror.close(60)
    return scale.weighed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executors", nargs="+", default=("in-process", "ray"), choices=EXECUTORS)
    parser.add_argument("--counts", nargs="+", type=int, default=(1, 50, 200, 1000), help="of trials")
    parser.add_argument("--sampler", default="tpe", choices=samplers.names())
    parser.add_argument("--quick", action="store_true", help="two trials in process: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.executors, asked.counts = asked.executors[:1], (1, 2)
    results = [
        {"executor": executor, **weighed}
        for executor in asked.executors
        for weighed in _in_fresh_process(weigh, executor, asked.sampler, asked.counts)
    ]
    columns = ["executor", "trials", *(f"{kind.lower()}, MB" for kind in KINDS)]
    rows = [
        [r["executor"], r["trials"], *(round(r[f"{kind.lower()}_bytes"] / MB) for kind in KINDS)]
        for r in results
    ]
    print(markdown(columns, rows), write("controller_memory", results, sampler=asked.sampler), sep="\n\n")


def _in_fresh_process(function: Callable[..., list[dict[str, int]]], *args: Any) -> list[dict[str, int]]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


if __name__ == "__main__":
    main()
