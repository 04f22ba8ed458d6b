"""A Ray cluster that others started: what is asked of it before a study trusts its trials to it.

Nothing here imports ray; ``ray_tune.py`` runs ``look`` on every node.
"""

from __future__ import annotations

import os
import platform
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from convscout.search_space.errors import ConfigError, Problem, UserError
from convscout.services.config.home import Home
from convscout.services.executors.machine_speed import machine_speed
from convscout.services.system.loopback import is_loopback
from convscout.trials.training.machine_speed import MachineSpeed

ADDRESS_FIELD = "resources.ray_address"
_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_CONNECT_S = 5.0
# A trial is computed by these, so nodes must agree on them; Ray itself insists on one version of it and Python.
_PACKAGES = ("convscout", "torch", "torchvision")
_ADVICE = (
    "set RAY_AUTH_MODE=token here and where `ray start` is run on each node, with one token in "
    "RAY_AUTH_TOKEN or ~/.ray/auth_token"
)


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """What a node tells of itself.

    ``seen`` is what it read in the home, ``authenticated`` whether it asks for a token, ``free_bytes`` the
    memory that is free on each of its GPUs, 0 without any, ``speed`` how fast it trains.
    """

    host: str
    seen: str
    authenticated: bool
    versions: dict[str, str]
    free_bytes: int
    speed: MachineSpeed


def check_reachable(address: str) -> None:
    """Raise ``ConfigError`` unless something listens at ``address`` and Ray may be trusted with a token there.

    A token that lies ready is used, as by ``ray start``. Ray's job interface runs whatever it is given, so an
    address beyond this machine is refused without one.
    """
    # ray looks at the variable once, when it is imported: later its processes would disagree
    if not os.environ.get(_MODE) and _has_token() and "ray" not in sys.modules:
        os.environ[_MODE] = "token"
    host, _, port = address.rpartition(":")
    if not is_loopback(host) and not asks_for_token():
        raise refused(address, f"must not be on another machine without token authentication: {_ADVICE}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise refused(address, f"must be where a Ray cluster listens, which it does not ({error})") from None


def asks_for_token() -> bool:
    """Whether this process speaks to Ray, and would be spoken to, with a token."""
    return os.environ.get(_MODE, "").lower() == "token"


@contextmanager
def witness(home: Path) -> Iterator[Path]:
    """A directory in the home with a file ``controller`` of random text, for as long as nodes look at it."""
    directory, known = home / f".probe-{secrets.token_hex(8)}", home.exists()
    directory.mkdir(parents=True)
    try:
        (directory / "controller").write_text(secrets.token_hex(16))
        yield directory
    finally:
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
        if not known:
            with suppress(OSError):  # unless somebody else uses it by now
                home.rmdir()


def look(directory: Path, node: str, gpus: bool) -> NodeReport:
    """On a node: read what the controller wrote to ``directory``, and write there what it wrote."""
    try:
        seen = (directory / "controller").read_text()
        (directory / node).write_text(seen)
    except OSError:
        seen = ""
    return NodeReport(
        host=platform.node(),
        seen=seen,
        authenticated=asks_for_token(),
        versions=_versions(),
        free_bytes=_free_bytes() if gpus else 0,
        speed=_speed(directory.parent, gpus),
    )


def check_nodes(address: str, directory: Path, reports: dict[str, NodeReport]) -> None:
    """Raise ``ConfigError`` unless all nodes share the home, run the same code, and are safe; by node's name."""
    text, here = (directory / "controller").read_text(), _versions()
    remote = not is_loopback(address.rpartition(":")[0])
    for node, report in reports.items():
        written = directory / node
        if report.seen != text or not written.exists() or written.read_text() != text:
            raise refused(
                address,
                f"must be a cluster whose nodes all share the home {directory.parent}, but {report.host} does not "
                "see or write it; choose a --home on a shared file system, mounted at the same path",
            )
        if remote and not report.authenticated:
            raise refused(address, f"must ask for a token, but {report.host} does not: {_ADVICE}")
        for package, installed in report.versions.items():
            if installed != here[package]:
                raise refused(
                    address,
                    f"must be a cluster of one {package}, but {report.host} has {installed} and this machine "
                    f"{here[package]}; install the same version",
                )


def refusal(address: str, error: Exception) -> UserError:
    """What a person is told of an ``error`` that Ray raised when it was to connect or to run something."""
    text = "\n".join(_chain(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "Version mismatch" in text:
        found = [line for line in lines if line.startswith(("Ray:", "Python:"))]
        theirs, ours = ", ".join(found[:2]), ", ".join(found[2:4])
        return refused(address, f"must run the same versions as this machine ({ours}), but has {theirs}")
    if any(word in text for word in ("AuthToken", "Unauthenticated", "Authentication")):
        return refused(address, f"must accept this machine's token, which it does not; {_ADVICE}")
    if "No module named" in text or "ModuleNotFoundError" in text:
        return refused(
            address, f"must be a cluster with convscout installed on every node ({lines[-1][:200]})"
        )
    return refused(
        address,
        f"must be a cluster that this machine is a node of (`ray start --address={address} --num-cpus=0` makes "
        f"it one), but {type(error).__name__}: {lines[0][:200] if lines else 'it does not answer'}",
    )


def weakest(reports: Sequence[NodeReport]) -> int:
    """The least memory that is free on a GPU of any node that has one; 0 without any."""
    return min((report.free_bytes for report in reports if report.free_bytes), default=0)


def slowest(reports: Sequence[NodeReport]) -> MachineSpeed:
    """That of the node that trains slowest, of those with a GPU where there are any."""
    speeds = [report.speed for report in reports]
    on_gpus = [speed for speed in speeds if speed.device == "cuda"]
    return min(on_gpus or speeds, key=lambda speed: speed.references[0].images_per_s)


def _chain(error: BaseException | None) -> Iterator[str]:
    """What ``error`` says, and then what caused it."""
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__


def refused(address: str, rule: str) -> ConfigError:
    """The error that says what the address of a cluster must be."""
    return ConfigError([Problem(field=ADDRESS_FIELD, value=address, rule=rule)])


def _has_token() -> bool:
    if os.environ.get(_TOKEN):
        return True
    named = os.environ.get(_TOKEN_PATH)
    return (Path(named) if named else Path.home() / ".ray" / "auth_token").is_file()


def _versions() -> dict[str, str]:
    return {package: version(package) for package in _PACKAGES}


def _free_bytes() -> int:
    if not torch.cuda.is_available():
        return 0
    return min(torch.cuda.mem_get_info(gpu)[0] for gpu in range(torch.cuda.device_count()))


def _speed(home: Path, gpus: bool) -> MachineSpeed:
    return machine_speed(Home(home), "cuda" if gpus else "cpu", kept=False)
