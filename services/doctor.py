"""What this machine offers, whether everything is in place, and what to mend. Nothing is written."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import socket
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from search_space.errors import LedgerAwayError
from services.home import Home
from services.storage import server_version, shown
from services.units import format_bytes
from trials.machine import cpu_name, has_native_bfloat16, instruction_set

GIB = 2**30
LITTLE_MEMORY, LITTLE_DISK, NO_DISK, LITTLE_SHARED = 2 * GIB, 5 * GIB, GIB // 4, GIB // 4
SAFE_WAL = (3, 51, 3)  # before it, SQLite's WAL mode could lose a commit; we keep to DELETE anyway
REINSTALL = "make clean && make check, or pip install -e . in a fresh virtual environment"


class Status(StrEnum):
    """How a check went. Only FAIL keeps a search from running."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found of ``subject``, and what a person can do about it, if anything."""

    subject: str
    status: Status
    text: str
    mend: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def examine(home: Home, *, port: int) -> list[Finding]:
    """Every check, in the order a person reads them. A check that breaks is itself a finding."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "packages": _packages,
        "torch and torchvision": _torch_pair,
        "devices": _devices,
        "cores": _cores,
        "speed": lambda: _speed(home),
        "memory": _memory,
        "disk": lambda: _disk(home),
        "sqlite": _sqlite,
        "ledger": lambda: _ledger(home),
        "tracking": lambda: _tracking(home),
        "plug-ins": _plugins,
        "port": lambda: _port(port),
    }
    findings: list[Finding] = []
    for subject, check in checks.items():
        try:
            findings += check()
        except Exception as error:  # the doctor is for broken machines: whatever breaks is what to report
            findings.append(_failed(subject, f"{type(error).__name__}: {error}", REINSTALL))
    return findings


def usable_cores() -> float:
    """Cores that this process may use: its affinity, and its share where a container limits it."""
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    share = int(quota) / int(period) if quota.isdigit() and period.isdigit() else float("inf")
    return min(len(os.sched_getaffinity(0)), share)


def usable_memory() -> int:
    """Bytes of memory still free to this process, also where a container limits it."""
    available = psutil.virtual_memory().available
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    return min(available, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else available


def _python() -> Iterator[Finding]:
    needed = metadata.metadata("convscout")["Requires-Python"]
    version = platform.python_version()
    text = f"{version} at {sys.executable}"
    if SpecifierSet(needed).contains(version):
        yield _fine("python", text)
    else:
        yield _failed("python", f"{text}; needs {needed}", "make clean && make check PYTHON=python3.12")


def _packages() -> Iterator[Finding]:
    requirements = [Requirement(line) for line in metadata.requires("convscout") or []]
    wrong, found = [], []
    for requirement in requirements:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        found.append(f"{requirement.name} {version}")
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if wrong:
        yield _failed("packages", "; ".join(wrong), REINSTALL)
    yield _fine("packages", ", ".join(found))


def _torch_pair() -> Iterator[Finding]:
    subject = "torch and torchvision"
    torch, vision = metadata.version("torch"), metadata.version("torchvision")
    pinned = [Requirement(line) for line in metadata.requires("torchvision") or []]
    wanted = next((each.specifier for each in pinned if each.name == "torch"), SpecifierSet())
    mend = (
        f"pip install --upgrade torchvision torch, so that both come from one place; {vision} wants {wanted}"
    )
    if not wanted.contains(torch, prereleases=True):
        yield _failed(subject, f"torch {torch} does not go with torchvision {vision}", mend)
        return
    try:
        importlib.import_module("torchvision.ops")
    except (ImportError, OSError, RuntimeError) as error:
        yield _failed(subject, f"torch {torch} with torchvision {vision}: {error}", mend)
        return
    yield _fine(subject, f"{torch} with {vision}, a matching pair")


def _devices() -> Iterator[Finding]:
    import torch

    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield _fine(f"cuda:{index}", f"{properties.name}, {format_bytes(properties.total_memory)}")
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        yield _fine("cuda", f"no usable device (torch is {built}); trials train on the CPU")
    how = "bfloat16 in hardware" if has_native_bfloat16() else "no bfloat16 in hardware"
    yield _fine("cpu", f"{cpu_name()}, {instruction_set()}, {how}")


def _cores() -> Iterator[Finding]:
    usable, present = usable_cores(), psutil.cpu_count() or 1
    text = f"{usable:g} of {present} usable"
    if usable < 1:
        yield _warning(
            "cores", text, "expect about one trial at a time; give the container more CPU if you can"
        )
    else:
        yield _fine("cores", text)


def _speed(home: Home) -> Iterator[Finding]:
    import torch

    from services.machine_speed import PATIENCE_S, describe, known_speed
    from services.placement import num_cores
    from trials.machine_speed import measure_speed

    device = "cuda" if torch.cuda.is_available() else "cpu"
    speed = known_speed(home, device)
    if speed is None:  # and it stays so, as looking changes nothing
        speed = measure_speed(torch.device(device), num_cores(), patience_s=PATIENCE_S)
    yield _fine("speed", describe(speed))


def _memory() -> Iterator[Finding]:
    usable, total = usable_memory(), psutil.virtual_memory().total
    text = f"{format_bytes(usable)} free of {format_bytes(total)}"
    if usable < LITTLE_MEMORY:
        yield _warning("memory", text, "close other programs, or search with --workers 1")
    else:
        yield _fine("memory", text)
    shared = Path("/dev/shm")
    if shared.is_dir() and (free := shutil.disk_usage(shared).free) < LITTLE_SHARED:
        mend = "start the container with --shm-size=1g, or search with --executor in-process"
        yield _warning("shared memory", f"{format_bytes(free)} free in {shared}", mend)


def _disk(home: Home) -> Iterator[Finding]:
    place = next(each for each in (home.root, *home.root.parents) if each.exists())
    free = shutil.disk_usage(place).free
    text = f"{format_bytes(free)} free for {home.root}"
    if not os.access(place, os.W_OK | os.X_OK) or not place.is_dir():
        yield _failed("disk", f"{place} cannot be written to", "choose another place with --home")
    elif free < NO_DISK:
        yield _failed("disk", text, "free some space, or choose another place with --home")
    elif free < LITTLE_DISK:
        yield _warning("disk", text, "a long search may fill it; free some, or choose another --home")
    else:
        yield _fine("disk", text)


def _sqlite() -> Iterator[Finding]:
    safe = "safe" if sqlite3.sqlite_version_info >= SAFE_WAL else "not safe before 3.51.3"
    yield _fine(
        "sqlite", f"{sqlite3.sqlite_version}; databases stay in DELETE journal mode (WAL is {safe} here)"
    )


def _ledger(home: Home) -> Iterator[Finding]:
    if home.storage_url.startswith("sqlite"):
        yield from _database("ledger", home.database)
        return
    try:
        yield _fine("ledger", f"{shown(home)} answers: {server_version(home)}")
    except LedgerAwayError as error:
        yield _failed("ledger", error.message, "start the server, or mend --storage")


def _database(subject: str, path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield _fine(subject, f"{path} is made by the first search")
        return
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=1)
        try:
            (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
            (damage,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            connection.execute("BEGIN IMMEDIATE")  # takes the write lock, so a read-only disk shows here
            connection.rollback()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        mend = "if a search is running, try again; otherwise check the rights and the space of the directory"
        yield _warning(subject, f"{path}: {error}", mend)
    except sqlite3.DatabaseError as error:
        yield _failed(subject, f"{path}: {error}", "restore it from a copy, or choose another --home")
    else:
        if damage != "ok":
            yield _failed(subject, f"{path}: {damage}", "restore it from a copy, or choose another --home")
        else:
            yield _fine(subject, f"{path} opens and can be written to (journal mode {journal})")


def _tracking(home: Home) -> Iterator[Finding]:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        yield from _database("tracking", home.root / "mlflow.db")
        return
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=3):
            yield _fine("tracking", f"{uri} answers")
    except (urllib.error.URLError, OSError) as error:
        mend = "start the server, or unset MLFLOW_TRACKING_URI; a search runs without it and catches up later"
        yield _warning("tracking", f"{uri} does not answer: {error}", mend)


def _plugins() -> Iterator[Finding]:
    from search_space.architecture import families
    from search_space.augmentation import augmentations
    from search_space.optimizer import optimizers
    from services.pruning import pruners
    from services.sampling import samplers
    from trials.sources import sources

    counts = []
    for registry in (families, optimizers, augmentations, sources, samplers, pruners):
        counts.append(f"{registry.kind} {len(registry.names())}")
        for name, error in registry.broken.items():
            mend = "update or uninstall the package that brings it; it is skipped until then"
            yield _warning(f"{registry.kind} {name}", error, mend)
    yield _fine("plug-ins", ", ".join(counts))


def _port(port: int) -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            mend = f"convscout ui --port {port + 1}" if port < 65535 else "choose another with --port"
            yield _warning(f"port {port}", "taken by another program", mend)
        else:
            yield _fine(f"port {port}", "free for convscout ui")


def _read(path: str) -> str:
    """The content of a file of the kernel, empty where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _fine(subject: str, text: str) -> Finding:
    return Finding(subject=subject, status=Status.OK, text=text)


def _warning(subject: str, text: str, mend: str) -> Finding:
    return Finding(subject=subject, status=Status.WARN, text=text, mend=mend)


def _failed(subject: str, text: str, mend: str) -> Finding:
    return Finding(subject=subject, status=Status.FAIL, text=text, mend=mend)
