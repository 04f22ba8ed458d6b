"""A service over a home with studies in every state, kept that way however it is treated, for whoever fuzzes it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx

from convscout.services.config.study_config import StudyConfig
from convscout.services.config.toml import to_toml
from tests.support.packing import digits_zip
from tests.support.planes import ENDLESS, PATIENCE_S, TINY
from tests.support.processes import kill_all_of
from tests.support.service import program, serve_process

T = TypeVar("T")

# some cases name what the examples of OpenAPI do
DONE, GONE, RUNNING, QUEUED, PAUSED, NEVER = "first", "gone", "running", "queued", "paused", "never-begun"
STUDIES = (DONE, GONE, RUNNING, QUEUED, PAUSED, NEVER)
DATASET = "flowers"
_ZIP = {"Content-Type": "application/zip"}
_OPTIONS = ("--cores", 1, "--requests-per-minute", 1_000_000)  # a fuzzer asks as fast as it can
# the numbers of its trials stay small, so that they are hit
_ENDLESS = {**ENDLESS, "name": RUNNING, "trials": 10_000, "epochs": 5_000}
_GLANCE_S = 2.0
_MOST_STUDIES = 20  # that were made by fuzzing; the others are taken away


class FuzzedHome:
    """The home at ``root``, whose service ``client`` asks.

    ``first`` has ended, with an export, a front and a report, ``gone`` was deleted. ``running`` trains for ever, begun
    by hand, so that it gives way to nobody and nothing else trains meanwhile: ``queued`` waits behind it. ``paused`` is
    held, ``never-begun`` was taken out of the queue.
    """

    def __init__(self, root: Path, client: httpx.Client) -> None:
        self.root = root
        self._client = client
        self._by_hand: subprocess.Popen[bytes] | None = None

    def prepare(self) -> dict[str, str]:
        """Make all of it; returns the ids of a job of each kind that ``first`` has."""
        jobs = self._train_to_the_end()
        self._train_by_hand("search")
        self._await(
            lambda: self._standing().get(RUNNING) == "running",
            RUNNING,
            lambda: f"it is {self._standing()}, its process {self._by_hand}: {self._log.read_text()}",
        )
        self.mend()
        return jobs

    def mend(self) -> None:
        """Let it be again as it was, whatever was done to it; what was begun by others ends."""
        found = {study["name"]: study for study in self._get("/studies", limit=500)["items"]}
        gone = {study["name"] for study in self._get("/studies", deleted=True)["items"]}
        for name in (DONE, RUNNING):
            if name in gone:
                self._ask("POST", f"/studies/{name}/restore")
        for name in {QUEUED, PAUSED, NEVER} - found.keys():
            self._post("/studies", settings={"name": name, **TINY})
        self._put_back(found)
        self._clear(study for name, study in found.items() if name not in STUDIES)
        if DATASET not in {each["name"] for each in self._get("/datasets")["items"]}:
            self._ask("POST", "/datasets", params={"name": DATASET}, content=digits_zip(), headers=_ZIP)
        if self._by_hand and self._by_hand.poll() is not None:
            self._train_by_hand("resume")

    @contextmanager
    def tended(self) -> Iterator[None]:
        """Within, ``mend`` again and again."""
        stop = threading.Event()

        def tend() -> None:
            while not stop.wait(_GLANCE_S):
                with suppress(httpx.HTTPError):  # a study that was there a moment ago may be gone
                    self.mend()

        thread = threading.Thread(target=tend)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def end(self) -> None:
        """Kill every process that trains or makes something in this home, once the service is gone."""
        kill_all_of(self.root)
        if self._by_hand:
            self._by_hand.wait()

    def _train_to_the_end(self) -> dict[str, str]:
        for name in (GONE, DONE):
            self._post("/studies", settings={"name": name, **TINY, "ensemble_size": 1})
            self._await(lambda name=name: self._standing()[name] == "finished", name)  # type: ignore[misc]
        made = (self._post(f"/studies/{DONE}/ensemble/front"), self._post(f"/studies/{DONE}/report"))
        jobs = {job["kind"]: str(job["id"]) for job in made}
        for job in jobs.values():
            self._await(lambda job=job: self._job(job)["state"] == "done", job)  # type: ignore[misc]
        return jobs

    def _put_back(self, found: dict[str, dict[str, Any]]) -> None:
        wanted = {QUEUED: ("queued", "resume"), PAUSED: ("paused", "pause"), NEVER: ("stopped", "stop")}
        for name, (status, action) in wanted.items():
            if name in found and found[name]["status"] != status and action in found[name]["actions"]:
                self._ask("POST", f"/studies/{name}/{action}")
        for name in (DONE, GONE):
            if name in found and found[name]["status"] == "queued":
                self._ask("POST", f"/studies/{name}/stop")
        if GONE in found:
            self._ask("DELETE", f"/studies/{GONE}")

    def _clear(self, others: Iterator[dict[str, Any]]) -> None:
        """End what trains, and take away all but the latest."""
        for place, study in enumerate(others):
            live = study["status"] in ("starting", "running")
            if (live or place >= _MOST_STUDIES) and "stop" in study["actions"]:
                self._ask("POST", f"/studies/{study['name']}/stop")
            elif place >= _MOST_STUDIES and "delete" in study["actions"]:
                self._ask("DELETE", f"/studies/{study['name']}")

    def _train_by_hand(self, word: str) -> None:
        told = ["--json", "--home", str(self.root)]
        if word == "search":
            file = self.root.with_name("running.toml")
            file.write_text(to_toml(StudyConfig.from_options(_ENDLESS)))
            told += ["--config", str(file)]
        else:
            told = [RUNNING, *told]
        command = [sys.executable, "-m", "convscout", word, *told]
        with self._log.open("w") as log:
            self._by_hand = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)

    @property
    def _log(self) -> Path:
        """What the study that was begun by hand said last."""
        return self.root.with_name("running.log")

    def _standing(self) -> dict[str, str]:
        """How each study stands."""
        return {study["name"]: study["status"] for study in self._get("/studies", limit=500)["items"]}

    def _job(self, id: str) -> Any:
        return self._get(f"/studies/{DONE}/jobs/{id}")

    def _get(self, path: str, **query: Any) -> Any:
        answer = self._ask("GET", path, params=query)
        answer.raise_for_status()
        return answer.json()

    def _post(self, path: str, **body: Any) -> Any:
        answer = self._ask("POST", path, json=body)
        answer.raise_for_status()
        return answer.json()

    def _ask(self, method: str, path: str, **rest: Any) -> httpx.Response:
        return self._client.request(method, f"/api/v1{path}", **rest)

    @staticmethod
    def _await(found: Callable[[], bool], what: str, told: Callable[[], object] = str) -> None:
        give_up = time.monotonic() + 4 * PATIENCE_S
        while not found():
            assert time.monotonic() < give_up, f"waited in vain for {what} {told()}"
            time.sleep(0.5)


@contextmanager
def fuzzed_home(root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of ``convscout serve`` over a fresh home at ``root``, and the jobs of ``first`` by kind."""
    with (
        ExitStack() as afterwards,
        serve_process(root, *_OPTIONS) as said,
        program(said["url"], token_of(root)) as client,
    ):
        home = FuzzedHome(root, client)
        afterwards.callback(home.end)  # as long as the service runs, it begins the next of its queue
        jobs = home.prepare()
        with home.tended():
            yield said["url"], jobs


def token_of(root: Path) -> str:
    """The token that the service over the home at ``root`` made for itself."""
    return (root / "service" / "token").read_text().strip()
