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
from importlib import metadata
from pathlib import Path
from types import ModuleType

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from convscout.search_space.errors import LedgerAwayError
from convscout.services.config.home import Home
from convscout.services.config.units import format_bytes
from convscout.services.ledger.database import server_version, shown
from convscout.services.studies.diagnosis import Diagnosis, failing, fine, warning
from convscout.services.system.resources import usable_cores, usable_memory

GIB = 2**30
LITTLE_MEMORY, LITTLE_DISK, NO_DISK, LITTLE_SHARED = 2 * GIB, 5 * GIB, GIB // 4, GIB // 4
SAFE_WAL = (3, 51, 3)  # before it, SQLite's WAL mode could lose a commit; we keep to DELETE anyway
REINSTALL = "make clean && make check, or pip install -e . in a fresh virtual environment"


def examine(home: Home, *, port: int) -> list[Diagnosis]:
    """Every check, in the order a person reads them. A check that breaks is itself a finding."""
    checks: dict[str, Callable[[], Iterator[Diagnosis]]] = {
        "python": _python,
        "packages": _packages,
        "torch and torchvision": _torch_pair,
        "devices": lambda: _torch_checks().check_devices(),
        "cores": _cores,
        "speed": lambda: _torch_checks().check_speed(home),
        "memory": _memory,
        "disk": lambda: _disk(home),
        "sqlite": _sqlite,
        "ledger": lambda: _ledger(home),
        "tracking": lambda: _tracking(home),
        "plug-ins": lambda: _torch_checks().check_plugins(),
        "port": lambda: _port(port),
    }
    findings: list[Diagnosis] = []
    for subject, check in checks.items():
        try:
            findings += check()
        except Exception as error:  # the doctor is for broken machines: whatever breaks is what to report
            findings.append(failing(subject, f"{type(error).__name__}: {error}", REINSTALL))
    return findings


def _torch_checks() -> ModuleType:
    from convscout.services.studies import torch_checks  # whose import may be what fails

    return torch_checks


def _python() -> Iterator[Diagnosis]:
    needed = metadata.metadata("convscout")["Requires-Python"]
    version = platform.python_version()
    text = f"{version} at {sys.executable}"
    if SpecifierSet(needed).contains(version):
        yield fine("python", text)
    else:
        yield failing("python", f"{text}; needs {needed}", "make clean && make check PYTHON=python3.12")


def _packages() -> Iterator[Diagnosis]:
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
        yield failing("packages", "; ".join(wrong), REINSTALL)
    yield fine("packages", ", ".join(found))


def _torch_pair() -> Iterator[Diagnosis]:
    subject = "torch and torchvision"
    torch, vision = metadata.version("torch"), metadata.version("torchvision")
    pinned = [Requirement(line) for line in metadata.requires("torchvision") or []]
    wanted = next((each.specifier for each in pinned if each.name == "torch"), SpecifierSet())
    mend = (
        f"pip install --upgrade torchvision torch, so that both come from one place; {vision} wants {wanted}"
    )
    if not wanted.contains(torch, prereleases=True):
        yield failing(subject, f"torch {torch} does not go with torchvision {vision}", mend)
        return
    try:
        importlib.import_module("torchvision.ops")
    except (ImportError, OSError, RuntimeError) as error:
        yield failing(subject, f"torch {torch} with torchvision {vision}: {error}", mend)
        return
    yield fine(subject, f"{torch} with {vision}, a matching pair")


def _cores() -> Iterator[Diagnosis]:
    usable, present = usable_cores(), psutil.cpu_count() or 1
    text = f"{usable:g} of {present} usable"
    if usable < 1:
        yield warning(
            "cores", text, "expect about one trial at a time; give the container more CPU if you can"
        )
    else:
        yield fine("cores", text)


def _memory() -> Iterator[Diagnosis]:
    usable, total = usable_memory(), psutil.virtual_memory().total
    text = f"{format_bytes(usable)} free of {format_bytes(total)}"
    if usable < LITTLE_MEMORY:
        yield warning("memory", text, "close other programs, or search with --workers 1")
    else:
        yield fine("memory", text)
    shared = Path("/dev/shm")
    if shared.is_dir() and (free := shutil.disk_usage(shared).free) < LITTLE_SHARED:
        mend = "start the container with --shm-size=1g, or search with --executor in-process"
        yield warning("shared memory", f"{format_bytes(free)} free in {shared}", mend)


def _disk(home: Home) -> Iterator[Diagnosis]:
    place = next(each for each in (home.root, *home.root.parents) if each.exists())
    free = shutil.disk_usage(place).free
    text = f"{format_bytes(free)} free for {home.root}"
    if not os.access(place, os.W_OK | os.X_OK) or not place.is_dir():
        yield failing("disk", f"{place} cannot be written to", "choose another place with --home")
    elif free < NO_DISK:
        yield failing("disk", text, "free some space, or choose another place with --home")
    elif free < LITTLE_DISK:
        yield warning("disk", text, "a long search may fill it; free some, or choose another --home")
    else:
        yield fine("disk", text)


def _sqlite() -> Iterator[Diagnosis]:
    safe = "safe" if sqlite3.sqlite_version_info >= SAFE_WAL else "not safe before 3.51.3"
    yield fine(
        "sqlite", f"{sqlite3.sqlite_version}; databases stay in DELETE journal mode (WAL is {safe} here)"
    )


def _ledger(home: Home) -> Iterator[Diagnosis]:
    if home.storage_url.startswith("sqlite"):
        yield from _database("ledger", home.database)
        return
    try:
        yield fine("ledger", f"{shown(home)} answers: {server_version(home)}")
    except LedgerAwayError as error:
        yield failing("ledger", error.message, "start the server, or mend --storage")


def _database(subject: str, path: Path) -> Iterator[Diagnosis]:
    if not path.exists():
        yield fine(subject, f"{path} is made by the first search")
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
        yield warning(subject, f"{path}: {error}", mend)
    except sqlite3.DatabaseError as error:
        yield failing(subject, f"{path}: {error}", "restore it from a copy, or choose another --home")
    else:
        if damage != "ok":
            yield failing(subject, f"{path}: {damage}", "restore it from a copy, or choose another --home")
        else:
            yield fine(subject, f"{path} opens and can be written to (journal mode {journal})")


def _tracking(home: Home) -> Iterator[Diagnosis]:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        yield from _database("tracking", home.tracking_database)
        return
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=3):
            yield fine("tracking", f"{uri} answers")
    except (urllib.error.URLError, OSError) as error:
        mend = "start the server, or unset MLFLOW_TRACKING_URI; a search runs without it and catches up later"
        yield warning("tracking", f"{uri} does not answer: {error}", mend)


def _port(port: int) -> Iterator[Diagnosis]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            mend = f"convscout ui --port {port + 1}" if port < 65535 else "choose another with --port"
            yield warning(f"port {port}", "taken by another program", mend)
        else:
            yield fine(f"port {port}", "free for convscout ui")
