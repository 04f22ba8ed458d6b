"""By how much do 100 event streams and 200 requests a second slow the trials of a running search?

python -m benchmarks.service_load [--pairs 6] [--seconds 20] [--streams 100] [--rate 200]

The service, its search on digits and the clients are real, each in processes of their own, all on this machine.
Windows with and without clients take turns within one run; what is compared is how many epochs the trials train in
each. The clients compute on the same cores as the trials, so what they take is told beside what the service takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil

from benchmarks.common import markdown, write
from services.home import Home
from services.journal import entries, journal_file

MAIN = "from services.cli import main; main()"
TOKEN = "token-of-the-load-benchmark"
STUDY = "loaded"
PATHS = ("", "/trials", "/leaderboard", "/curves", "/trials/0")
SETTINGS = {
    "name": STUDY,
    "data": "digits",
    "families": ["lenet"],
    "time": "1h",
    "epochs": 60,
    "pruner": "none",
    "sampler": "random",
    "precision": "float32",
    "space": {"lenet.width": 32, "recipe.batch_size": 64},
}


@contextmanager
def service(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The address of ``convscout serve``, and its process."""
    words = ["serve", "--home", str(home), "--port", "0", "--json", "--requests-per-minute", "1000000"]
    command = [sys.executable, "-c", MAIN, *words]
    environment = {**os.environ, "CONVSCOUT_TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def clients(url: str, streams: int, rate: float, on: Event, end: Event, told: Any) -> None:
    """Watch and ask while ``on`` is set; tells at the end how many requests were answered, and how many wrongly."""
    answered = asyncio.run(_clients(url, streams, rate, on, end))
    told.put((*answered, sum(os.times()[:2])))


async def _clients(url: str, streams: int, rate: float, on: Event, end: Event) -> tuple[int, int]:
    right = wrong = 0
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    base = f"{url}/api/v1/studies/{STUDY}"
    async with httpx.AsyncClient(limits=limits, headers=headers, timeout=30) as client:

        async def ask(path: str) -> None:
            nonlocal right, wrong
            answer = await client.get(base + path)
            right, wrong = right + (answer.status_code == 200), wrong + (answer.status_code != 200)

        async def watch() -> None:
            async with client.stream("GET", f"{base}/events", timeout=None) as stream:
                async for _ in stream.aiter_bytes():
                    pass

        while not end.is_set():
            if not on.is_set():
                await asyncio.sleep(0.05)
                continue
            watching = [asyncio.create_task(watch()) for _ in range(streams)]
            asking: set[asyncio.Task[None]] = set()
            began, sent = time.monotonic(), 0
            while on.is_set():
                while sent < (time.monotonic() - began) * rate and len(asking) < 500:
                    asking.add(task := asyncio.create_task(ask(PATHS[sent % len(PATHS)])))
                    task.add_done_callback(asking.discard)
                    sent += 1
                await asyncio.sleep(0.02)
            await asyncio.gather(*asking, return_exceptions=True)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    return right, wrong


def begin(url: str, home: Home) -> None:
    """Begin the study, and wait until its trials are well under way."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{url}/api/v1/studies", json={"settings": SETTINGS}, headers=headers, timeout=60)
    answer.raise_for_status()
    while epochs(home, 0, time.time()) < 20:
        time.sleep(0.5)


def epochs(home: Home, since: float, until: float) -> int:
    """How many were reported between two moments."""
    found = entries(journal_file(home, STUDY))
    return sum(entry.kind == "epoch" and since <= entry.at < until for entry in found)


def window(home: Home, process: psutil.Process, seconds: float) -> dict[str, float]:
    """Epochs a second, and the share of a core that the service takes, over the next ``seconds``."""
    began, spent = time.time(), sum(process.cpu_times()[:2])
    time.sleep(seconds)
    taken = (sum(process.cpu_times()[:2]) - spent) / seconds
    return {"epochs_per_s": epochs(home, began, began + seconds) / seconds, "service_cores": taken}


def measure(pairs: int, seconds: float, streams: int, rate: float) -> dict[str, Any]:
    """Windows in turns; which of a pair comes first changes, too."""
    context = multiprocessing.get_context("spawn")
    on, end, told = context.Event(), context.Event(), context.Queue()
    sides: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with TemporaryDirectory() as directory:
        home = Home(Path(directory) / "home")
        with service(home.root) as (url, process):
            begin(url, home)
            crowd = context.Process(target=clients, args=(url, streams, rate, on, end, told))
            crowd.start()
            for pair in range(pairs):
                for loaded in (False, True) if pair % 2 else (True, False):
                    (on.set if loaded else on.clear)()
                    time.sleep(2)  # connections are opened, what was begun ends
                    sides[loaded].append(window(home, process, seconds))
            on.clear()
            end.set()
            right, wrong, client_s = told.get(timeout=60)
            crowd.join()
            httpx.post(
                f"{url}/api/v1/studies/{STUDY}/stop", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
            )
            time.sleep(5)
    ratios = [
        loaded["epochs_per_s"] / quiet["epochs_per_s"]
        for quiet, loaded in zip(sides[False], sides[True], strict=True)
    ]
    return {
        "streams": streams,
        "rate_wanted": rate,
        "rate": right / (pairs * (seconds + 2)),
        "wrong": wrong,
        "ratio": median(ratios),
        "ratios": ratios,
        "quiet": sides[False],
        "loaded": sides[True],
        "client_cores": client_s / (pairs * (seconds + 2)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200.0)
    options = parser.parse_args()
    result = measure(**vars(options))
    cores = median(each["service_cores"] for each in result["loaded"])
    rows = [
        ["epochs a second, against none", f"{result['ratio']:.3f}"],
        ["of the pairs", f"{min(result['ratios']):.3f} to {max(result['ratios']):.3f}"],
        ["requests a second that were answered", f"{result['rate']:.0f} of {options.rate:.0f}"],
        ["answered wrongly", str(result["wrong"])],
        ["cores that the service took", f"{cores:.2f}"],
        ["cores that the clients took", f"{result['client_cores']:.2f}"],
    ]
    print(markdown([f"{options.streams} streams, {options.rate:.0f} requests/s", ""], rows))
    print(f"\nwritten to {write('service_load', [result])}")


if __name__ == "__main__":
    main()
