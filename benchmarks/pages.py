"""How long the service takes for each page of a study of 5,000 trials, asked over HTTP as a browser does.

python -m benchmarks.pages [--trials 5000] [--home HOME] (a home that holds such a study already)
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from benchmarks.common import markdown, write
from benchmarks.large_study import write_large_study
from convscout.services.config.home import Home
from tests.support import service

STUDY, LIMIT_MS = "big", 300
_REPEATS = 9
PAGES = (
    "/",
    "/new",
    "/datasets",
    "/audit",
    f"/studies/{STUDY}",
    f"/studies/{STUDY}/trials",
    f"/studies/{STUDY}/trials?order=score&descending=yes&page=50",
    f"/studies/{STUDY}/trials?state=stopped&family=resnet",
    f"/studies/{STUDY}/trials/17",
    f"/studies/{STUDY}/ensemble",
    f"/studies/{STUDY}/report",
    f"/studies/{STUDY}/charts",
    f"/studies/{STUDY}/knobs",
)


def measure(client: httpx.Client, path: str) -> dict[str, object]:
    """The first time and the later ones in milliseconds, and the size of the answer."""
    times = []
    for _ in range(1 + _REPEATS):
        began = time.perf_counter()
        answer = client.get(path)
        times.append(1000 * (time.perf_counter() - began))
        answer.raise_for_status()
    return {
        "page": path,
        "first_ms": round(times[0], 1),
        "median_ms": round(statistics.median(times[1:]), 1),
        "slowest_ms": round(max(times[1:]), 1),
        "kB": round(len(answer.content) / 1000, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write ``pages.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--home", type=Path)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        home = chosen.home or Path(directory) / "home"
        if not chosen.home:
            write_large_study(Home(home), STUDY, chosen.trials)
        with service.service_at(home) as address, service.signed_in(address) as client:
            client.get(f"/studies/{STUDY}")  # reads the study
            results = [measure(client, path) for path in PAGES]
    columns = ("page", "first_ms", "median_ms", "slowest_ms", "kB")
    print(markdown(columns, [[row[column] for column in columns] for row in results]))
    write("pages", results, trials=chosen.trials, limit_ms=LIMIT_MS)


if __name__ == "__main__":
    main()
