"""By how much do 100 event streams and 200 requests a second slow the trials of a running search?

python -m benchmarks.service_load [--pairs 24] [--seconds 8] [--streams 100] [--rate 200]

The service, its search on digits and the clients are real, each in processes of their own, all on this machine.
Windows with and without clients take turns within one run, short ones, as the machine itself is now faster, now
slower; what is compared is how many epochs the trials train in each, where of an epoch that lies in two windows each
has its part. An epoch takes some two seconds here. The clients compute on the same cores as the trials, at the lowest
priority; what they take is told beside what the service takes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.common import markdown, write
from benchmarks.search_quality import interval
from convscout.services.config.home import Home
from convscout.services.events.event_log import entries, event_log_bytes, event_log_path

JOB = "convscout.services.cli.job"
TOKEN = "token-of-the-load-benchmark"
STUDY = "loaded"
PATHS = ("", "/trials", "/leaderboard", "/curves", "/trials/0")
_VISITORS = 8
_NETWORK = {"width": 128, "depth": 3, "growth": 2.0, "kernel_size": 5, "hidden": 256, "dropout_kind": "none"}
_RECIPE = {"batch_size": 64, "optimizer": "adamw", "averaging": "none", "distortion": "none"}
SETTINGS = {
    "name": STUDY,
    "data": "digits",
    "families": ["lenet"],
    "time": "1h",
    "epochs": 5_000,  # the same trials train in every window
    "pruner": "none",
    "sampler": "random",
    "precision": "float32",
    "space": {f"lenet.{knob}": value for knob, value in _NETWORK.items()}
    | {f"recipe.{knob}": value for knob, value in _RECIPE.items()},
}


@contextmanager
def service(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The address of ``convscout serve``, and its process."""
    words = ["serve", "--home", str(home), "--port", "0", "--json", "--requests-per-minute", "1000000"]
    command = [sys.executable, "-m", "convscout", *words]
    environment = {**os.environ, "CONVSCOUT_TOKEN": TOKEN}
    # in a session of its own, as what watches over services begins them; Linux shares out cores by session
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def clients(home: Home, url: str, streams: int, rate: float, on: Event, end: Event, told: Any) -> None:
    """Watch and ask while ``on`` is set; tells at the end what came of it.

    They stand for people at other machines, so here they have what the search and the service leave them.
    """
    os.setsid()
    os.nice(19 - os.nice(0))
    began_s = sum(os.times()[:2])
    told.put({**_Clients(home, url, streams, rate, on, end).run(), "client_s": sum(os.times()[:2]) - began_s})


class _Clients:
    """Plain sockets: a library for HTTP takes more of the machine than the service does that is to be measured."""

    def __init__(self, home: Home, url: str, streams: int, rate: float, on: Event, end: Event) -> None:
        self._home = home
        self._port = int(url.rpartition(":")[2])
        self._streams = streams
        self._rate = rate
        self._on = on
        self._end = end
        self._latencies_s: list[float] = []
        self._wrong = 0
        self._events = 0

    def run(self) -> dict[str, Any]:
        """Until the end; returns the figures."""
        while not self._end.is_set():
            if not self._on.wait(0.1):
                continue
            began, due = time.monotonic(), count()
            threads = [Thread(target=self._ask, args=(began, due)) for _ in range(_VISITORS)]
            threads.append(Thread(target=self._watch))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        slowest = sorted(self._latencies_s)
        return {
            "answered": len(slowest),
            "wrong": self._wrong,
            "events": self._events,
            "latency_s": {"median": slowest[len(slowest) // 2], "p99": slowest[len(slowest) * 99 // 100]},
        }

    def _ask(self, began: float, due: Iterator[int]) -> None:
        """One of those who visit: all that a page asks for, at once. Each visit has its moment; who is late is late."""
        with ExitStack() as stack:
            connections = [stack.enter_context(self._connection()) for _ in PATHS]
            while self._on.is_set():
                moment = began + next(due) * len(PATHS) / self._rate
                time.sleep(max(0.0, moment - time.monotonic()))
                for path, connection in zip(PATHS, connections, strict=True):
                    connection.sendall(self._request(path))
                for connection in connections:
                    self._wrong += _answer(connection) != 200
                    self._latencies_s.append(time.monotonic() - moment)

    def _watch(self) -> None:
        end = event_log_bytes(event_log_path(self._home.study(STUDY)))
        seen = f"Last-Event-ID: {end}"  # as of one who was there all the time
        with ExitStack() as stack, selectors.DefaultSelector() as selector:
            for _ in range(self._streams):
                connection = stack.enter_context(self._connection())
                connection.sendall(self._request("/events", seen))
                selector.register(connection, selectors.EVENT_READ)
            while self._on.is_set():
                for key, _ in selector.select(0.1):
                    self._events += key.fileobj.recv(1 << 20).count(b"\nid: ")  # type: ignore[union-attr]

    def _connection(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=30)

    def _request(self, path: str, *more: str) -> bytes:
        lines = (
            f"GET /api/v1/studies/{STUDY}{path} HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            f"Authorization: Bearer {TOKEN}",
        )
        return "\r\n".join([*lines, *more, "", ""]).encode()


def _answer(connection: socket.socket) -> int:
    """Read one answer; returns its status."""
    read = connection.recv(1 << 20)
    while b"\r\n\r\n" not in read:
        read += connection.recv(1 << 20)
    head, _, body = read.partition(b"\r\n\r\n")
    left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(body)
    while left > 0:
        left -= len(connection.recv(left))
    return int(head.split(maxsplit=2)[1])


def begin(url: str, home: Home) -> None:
    """Begin the study, and wait until its trials are well under way."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{url}/api/v1/studies", json={"settings": SETTINGS}, headers=headers, timeout=60)
    answer.raise_for_status()
    while sum(map(len, epochs(home))) < 6:
        time.sleep(0.5)


def epochs(home: Home) -> list[list[float]]:
    """Of each trial the moments at which its epochs ended."""
    ends: dict[int, list[float]] = {}
    for entry in entries(event_log_path(home.study(STUDY))):
        if entry.kind == "epoch":
            ends.setdefault(entry.facts["trial"], []).append(entry.at)
    return list(ends.values())


def trained(ends: list[list[float]], since: float, until: float) -> float:
    """Epochs that all trials trained between two moments, before and after which each ended one."""
    return float(sum(np.diff(np.interp([since, until], trial, range(len(trial))))[0] for trial in ends))


def window(process: psutil.Process, seconds: float) -> dict[str, float]:
    """Over the next ``seconds``: how many cores the service and the search had, and when that was."""
    searching = [each for each in psutil.process_iter(["cmdline"]) if JOB in (each.info["cmdline"] or ())]
    searching += [child for each in searching for child in each.children(recursive=True)]
    began, service_s, search_s = time.time(), _spent_s([process]), _spent_s(searching)
    time.sleep(seconds)
    return {
        "began": began,
        "service_cores": (_spent_s([process]) - service_s) / seconds,
        "search_cores": (_spent_s(searching) - search_s) / seconds,
    }


def _spent_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure(pairs: int, seconds: float, streams: int, rate: float) -> dict[str, Any]:
    """Windows in turns; which of a pair comes first changes, too."""
    context = multiprocessing.get_context("spawn")
    on, end, told = context.Event(), context.Event(), context.Queue()
    sides: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with TemporaryDirectory() as directory:
        home = Home(Path(directory) / "home")
        with service(home.root) as (url, process):
            begin(url, home)
            crowd = context.Process(target=clients, args=(home, url, streams, rate, on, end, told))
            crowd.start()
            time.sleep(10)  # it is there, and what begins with a study is done
            for pair in range(pairs):
                for loaded in (False, True) if pair % 2 else (True, False):
                    (on.set if loaded else on.clear)()
                    time.sleep(2)  # connections are opened, what was begun ends
                    sides[loaded].append(window(process, seconds))
            on.clear()
            time.sleep(8)  # each trial ends the epoch that it is in
            ends = epochs(home)
            end.set()
            clients_told = told.get(timeout=60)
            crowd.join()
            httpx.post(
                f"{url}/api/v1/studies/{STUDY}/stop", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
            )
            time.sleep(5)
    for each in (*sides[False], *sides[True]):
        began = each.pop("began")
        each["epochs_per_s"] = trained(ends, began, began + seconds) / seconds
    pairs_of_windows = list(zip(sides[False], sides[True], strict=True))

    def ratios(figure: str) -> list[float]:
        return [loaded[figure] / quiet[figure] for quiet, loaded in pairs_of_windows]

    loaded_s = pairs * (seconds + 2)
    return {
        "streams": streams,
        "rate_wanted": rate,
        "rate": clients_told["answered"] / loaded_s,
        "epochs": ratios("epochs_per_s"),
        "cores": ratios("search_cores"),
        "quiet": sides[False],
        "loaded": sides[True],
        "client_cores": clients_told["client_s"] / loaded_s,
        **clients_told,
    }


def _share(ratios: list[float]) -> str:
    low, high = interval(ratios)
    return f"{median(ratios):.3f} ({low:.3f} to {high:.3f})"


def _latencies(found: dict[str, float]) -> str:
    return f"{found['median'] * 1000:.0f} ms, {found['p99'] * 1000:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200.0)
    options = parser.parse_args()
    result = measure(**vars(options))
    loaded_s = options.pairs * (options.seconds + 2)
    cores = median(each["service_cores"] for each in result["loaded"])
    rows = [
        ["epochs a second, of those without (median of the pairs, 95 %)", _share(result["epochs"])],
        ["cores that the search had, of those without", _share(result["cores"])],
        ["requests a second that were answered", f"{result['rate']:.0f} of {options.rate:.0f}"],
        ["answered wrongly", str(result["wrong"])],
        ["from its moment to the answer, median and 99 %", _latencies(result["latency_s"])],
        ["events a second, all streams together", f"{result['events'] / loaded_s:.0f}"],
        ["cores that the service took", f"{cores:.2f}"],
        ["cores that the clients took", f"{result['client_cores']:.2f}"],
    ]
    print(markdown([f"{options.streams} streams, {options.rate:.0f} requests/s", ""], rows))
    print(f"\nwritten to {write('service_load', [result])}")


if __name__ == "__main__":
    main()
