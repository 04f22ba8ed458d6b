"""Searching on a Ray cluster that others started: what is refused, and what becomes of a node that dies."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster

from convscout.search_space.errors import ConfigError, StudyInterrupted
from convscout.services.config.home import Home
from convscout.services.events.events import EpochEnded, Event
from convscout.services.executors.cluster import check_nodes, check_reachable, look, witness
from convscout.services.executors.factory import inspect_cluster
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import run
from convscout.services.system.loopback import is_loopback
from convscout.trials.config import TrialState
from tests.support.ray_clusters import (
    OTHER_TOKEN,
    ROOT,
    TOKEN,
    authentication,
    begin_search,
    cluster,
    refusal,
)
from tests.support.studies import bundle_alone, essences, quiet, tiny_config

AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
MODE = """
import os, sys
from convscout.services.executors.cluster import check_reachable
check_reachable(sys.argv[1])
print(os.environ["RAY_AUTH_MODE"])
"""
LOOK = """
import pickle, sys
from pathlib import Path
from convscout.services.executors.cluster import look
sys.stdout.buffer.write(pickle.dumps(look(Path(sys.argv[1]), "there", False)))
"""


def here(address: str) -> str:
    """``address`` by way of this machine's loopback."""
    return f"127.0.0.1:{address.rpartition(':')[2]}"


@pytest.fixture
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AUTHENTICATION:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="module")
def guarded() -> Iterator[Cluster]:
    """Asks for ``TOKEN``; a head with one core, and a node with two."""
    with cluster(token=TOKEN) as started:
        started.add_node(num_cpus=2)
        yield started


class TestAddress:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
    def test_this_machine(self, host):
        assert is_loopback(host)

    @pytest.mark.parametrize("host", ["10.0.0.5", "0.0.0.0", "[fe80::1]", "localhost.example.org", "head"])
    def test_another_machine(self, host):
        assert not is_loopback(host)

    @pytest.mark.parametrize(
        "address",
        ["auto", "local", "ray://head:10001", "head", "head:", ":6379", "head:0", "head:99999", 6379],
    )
    def test_what_is_none(self, address):
        with pytest.raises(ConfigError, match=r"resources.ray_address: must be HOST:PORT"):
            tiny_config(ray_address=address)

    def test_needs_ray(self, tmp_path):
        config = tiny_config(ray_address="127.0.0.1:6379", executor="in-process")
        with pytest.raises(ConfigError, match="must be left out with --executor in-process"):
            inspect_cluster(config, tmp_path)

    def test_the_environment_alone_means_nothing(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
        assert inspect_cluster(tiny_config(executor="ray"), tmp_path) is None


@pytest.mark.usefixtures("no_token")
class TestReachable:
    def test_another_machine_is_refused_without_a_token(self):
        with pytest.raises(ConfigError, match="without token authentication: set RAY_AUTH_MODE=token"):
            check_reachable("192.0.2.77:6379")

    def test_nobody_listens(self):
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            with pytest.raises(ConfigError, match="must be where a Ray cluster listens, which it does not"):
                check_reachable(f"127.0.0.1:{bound.getsockname()[1]}")

    def test_a_token_that_lies_ready_is_used(self, tmp_path):
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text(TOKEN)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            told = subprocess.run(
                [sys.executable, "-c", MODE, address], cwd=ROOT, capture_output=True, text=True
            )
            assert told.stdout.split() == ["token"], told.stderr

    def test_who_wants_none_gets_none(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        with pytest.raises(ConfigError, match="without token authentication"):
            check_reachable("192.0.2.77:6379")


class TestNodes:
    def elsewhere(self, directory: Path, *, mount: str = "", mode: str = "token"):
        """What another process sees, before which ``mount`` is done in a name space of its own."""
        script = f"{mount} exec {sys.executable} -c '{LOOK}' {directory}"
        told = subprocess.run(
            ["unshare", "-m", "sh", "-c", script] if mount else ["sh", "-c", script],
            cwd=ROOT,
            env={**os.environ, "RAY_AUTH_MODE": mode},
            capture_output=True,
            check=True,
        )
        return pickle.loads(told.stdout)

    def test_that_share_the_home_are_accepted_and_leave_nothing_there(self, tmp_path):
        home = tmp_path / "home"
        with witness(home) as directory:
            reports = {"there": self.elsewhere(directory)}
            check_nodes("192.0.2.77:6379", directory, reports)
        assert not home.exists()

    def test_with_another_home_are_refused(self, tmp_path):
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
            pytest.skip("needs the right to mount")
        with witness(tmp_path) as directory:
            report = self.elsewhere(directory, mount=f"mount -t tmpfs none {tmp_path} &&")
            with pytest.raises(
                ConfigError, match=r"must be a cluster whose nodes all share the home .* shared file"
            ):
                check_nodes("127.0.0.1:6379", directory, {"there": report})

    def test_without_authentication_are_refused_beyond_this_machine(self, tmp_path):
        with witness(tmp_path) as directory:
            reports = {"there": self.elsewhere(directory, mode="disabled")}
            check_nodes("127.0.0.1:6379", directory, reports)
            with pytest.raises(ConfigError, match="must ask for a token, but"):
                check_nodes("192.0.2.77:6379", directory, reports)

    def test_with_another_torch_are_refused(self, tmp_path):
        with witness(tmp_path) as directory:
            report = look(directory, "there", False)
            report.versions["torch"] = "1.0"
            with pytest.raises(ConfigError, match=r"must be a cluster of one torch, but .* has 1\.0"):
                check_nodes("127.0.0.1:6379", directory, {"there": report})


@pytest.mark.slow
@pytest.mark.timeout(700)
class TestSearch:
    def test_gives_what_this_machine_gives_and_leaves_the_cluster_running(self, tmp_path, guarded):
        config = tiny_config("shared", executor="ray", epochs=1)
        process = begin_search(config, tmp_path / "home", guarded.address)
        out, told = process.communicate(timeout=400)
        assert process.returncode == 0, told
        assert "3 workers (ray)" in out + told
        with bundle_alone():
            run.search(tiny_config("shared", epochs=1), Home(tmp_path / "other"), quiet, time.time())
        assert essences(tmp_path / "home", "shared") == essences(tmp_path / "other", "shared")
        assert guarded.remaining_processes_alive()
        assert not list((tmp_path / "home" / "studies" / "shared").glob("convscout-ray-*"))

    def test_goes_on_elsewhere_when_a_node_dies(self, tmp_path, guarded):
        doomed = guarded.add_node(num_cpus=2)
        config = tiny_config(
            "dying", executor="ray", workers=5, trials=7, epochs=8, space={"lenet.width": 16}
        )
        home = Home(tmp_path / "home")
        process = begin_search(config, home.root, guarded.address)
        try:
            self.wait_for_epochs(process, home, 5)
            guarded.remove_node(doomed, allow_graceful=False)
            _, told = process.communicate(timeout=400)
        finally:
            process.kill()
        assert process.returncode == 0, told
        records = Ledger.open(home.study("dying")).trials()
        assert [record.state for record in records] == [TrialState.COMPLETED] * 7
        assert all([m.epoch for m in r.measurements] == list(range(1, 9)) for r in records)
        assert 1 <= sum(record.worker_failures for record in records) <= 2
        assert all(record.attempt == 1 + record.worker_failures for record in records)

    def wait_for_epochs(self, process: subprocess.Popen[str], home: Home, trials: int) -> None:
        """Until ``trials`` of the study are under way, each with an epoch."""
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            known = Ledger.open(home.study("dying")).trials() if "dying" in Ledger.names(home) else []
            if sum(bool(record.measurements) for record in known) >= trials:
                return
            time.sleep(0.2)
        raise AssertionError(process.communicate()[1] if process.poll() is not None else "too slow")

    def test_is_refused_with_a_wrong_token(self, tmp_path, guarded):
        told = refusal(tiny_config(executor="ray"), tmp_path / "home", guarded.address, token=OTHER_TOKEN)
        assert "resources.ray_address: must accept this machine's token, which it does not" in told

    def test_is_refused_by_a_cluster_of_another_version(self, tmp_path, guarded, monkeypatch):
        gcs = GcsClient(address=guarded.address)
        key, space = b"CLUSTER_METADATA", b"cluster"
        real = gcs.internal_kv_get(key, namespace=space)
        fake = json.dumps({**json.loads(real), "ray_version": "2.9.0", "python_version": "3.8.1"}).encode()
        gcs.internal_kv_put(key, fake, overwrite=True, namespace=space)
        try:
            told = refusal(tiny_config(executor="ray"), tmp_path / "home", guarded.address)
        finally:
            gcs.internal_kv_put(key, real, overwrite=True, namespace=space)
        assert "must run the same versions as this machine" in told
        assert "has Ray: 2.9.0, Python: 3.8.1" in told

    def test_is_refused_beyond_this_machine_by_a_cluster_that_asks_for_no_token(self, tmp_path):
        with cluster(token=None) as open_to_all:
            told = refusal(tiny_config(executor="ray"), tmp_path / "home", open_to_all.address)
            assert "must ask for a token, but" in told
            process = begin_search(
                tiny_config("near", executor="ray", trials=1, epochs=1),
                tmp_path / "home",
                here(open_to_all.address),
                token=None,
            )
            _, told = process.communicate(timeout=400)
            assert process.returncode == 0, told

    def test_is_refused_by_a_node_with_another_home(self, tmp_path, guarded):
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
            pytest.skip("needs the right to mount")
        ray = Path(sys.executable).with_name("ray")
        apart = tmp_path / "apart"
        apart.mkdir()
        script = f"mount -t tmpfs none {apart} && exec {ray} start --address={guarded.address} --num-cpus=1 --block"
        node = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script],
            env={**os.environ, **authentication(TOKEN)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 90
            while len(guarded.global_state._live_node_ids()) < 3 and time.monotonic() < deadline:
                time.sleep(0.5)
            told = refusal(tiny_config(executor="ray"), apart / "home", guarded.address)
        finally:
            os.killpg(node.pid, signal.SIGTERM)
            node.wait(30)
        assert f"must be a cluster whose nodes all share the home {apart / 'home'}" in told


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_search_here_neither_joins_the_cluster_of_the_environment_nor_dies_of_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[int] = []

    def stop_at_once(event: Event) -> None:
        if isinstance(event, EpochEnded) and not stopped:
            stopped.append(event.trial.number)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # joining it would fail
    config = tiny_config("alone", executor="ray", workers=1, trials=2, epochs=50)
    with pytest.raises(StudyInterrupted):
        run.search(config, Home(tmp_path), stop_at_once, time.time())
    assert Ledger.open(Home(tmp_path).study("alone")).trials()[0].measurements
