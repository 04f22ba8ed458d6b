"""Leftovers: what killed processes left in a study's directory. Only who holds the study may sweep them up."""

from __future__ import annotations

import shutil
from pathlib import Path

from convscout.services.system.directories import aside, recover
from convscout.services.system.locks import is_free

REPLACED = ("export", "report")  # directories that are written as a whole


def leftovers(study: Path) -> list[Path]:
    """Temporary files and directories under ``study``, and locks of processes that are gone."""
    found = [*study.glob(".*.tmp"), *study.glob("inbox/.*.tmp"), *study.glob("trials/*/.*.tmp")]
    found += study.glob("convscout-ray-*")  # what a cluster's nodes share of Ray's own files
    found += [lock for lock in study.glob("controller-*.lock") if is_free(lock)]
    found += [path for name in REPLACED if (path := aside(study / name)).exists()]
    return sorted(found)


def sweep(study: Path) -> None:
    """Remove the leftovers under ``study``; an export or a report that was being replaced is put back."""
    for name in REPLACED:
        recover(study / name)
    for path in leftovers(study):
        remove(path)


def remove(path: Path) -> None:
    """Remove the file, or the directory with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
