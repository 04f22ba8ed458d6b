"""Provenance: which code trains the trials of a study, so that a resume with other code is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from convscout.search_space.errors import list_names

CODE_NOTE = "code"
# what decides how a configuration is trained; services only decide which
PACKAGES = ("convscout.search_space", "convscout.trials")
LIBRARIES = ("torch", "torchvision")
_MOST_SHOWN = 8


def code_version() -> dict[str, str]:
    """The hash of every source file that decides what a trial comes to, by its path, and versions of libraries."""
    found = {library: version(library) for library in LIBRARIES}
    for name in PACKAGES:
        root = Path(next(iter(import_module(name).__path__)))
        for path in sorted(root.rglob("*.py")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            found[path.relative_to(root.parent).as_posix()] = digest
    return found


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What changed from one ``code_version`` to another, on one line; empty when nothing did."""
    return list_names([*_changes(before, after)], _MOST_SHOWN)


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in LIBRARIES:
        if before.get(name) != after[name]:
            yield f"{name} {before.get(name, '?')} → {after[name]}"
    for name in sorted((before.keys() | after.keys()) - set(LIBRARIES)):
        if name not in after:
            yield f"{name} is gone"
        elif name not in before:
            yield f"{name} is new"
        elif before[name] != after[name]:
            yield f"{name} changed"
