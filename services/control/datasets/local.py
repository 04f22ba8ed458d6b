"""Local data: the datasets that lie under a directory which the service was started with, told by their looks alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from convscout.services.control.datasets.uploads import is_name
from convscout.services.schemas.datasets import DatasetView
from convscout.trials.data.tree_names import is_hidden, is_ignored
from convscout.trials.data.tree_walker import is_home

_MOST = 200  # entries of a directory that are looked at


def local_datasets(root: Path) -> Iterator[DatasetView]:
    """What ``root`` holds: npz files and directories of folders; or itself, where those are its classes."""
    entries = sorted(_visible(root), key=lambda entry: entry.name)
    files = [
        entry for entry in entries if entry.name.endswith(".npz") and entry.is_file(follow_symlinks=False)
    ]
    trees = [entry for entry in entries if _is_tree(entry)]
    for entry in files:
        yield _view(
            entry.name.removesuffix(".npz"), f"npz:{root / entry.name}", "images in an npz file", root
        )
    for entry in trees:
        yield _view(entry.name, f"folder:{root / entry.name}", "folders of images", root)
    if not files and not trees and sum(map(_is_folder, entries)) > 1:
        yield _view(root.name, f"folder:{root}", "folders of images", root.parent)


def _view(name: str, data: str, what: str, place: Path) -> DatasetView:
    return DatasetView(name=name, kind="local", data=data, about=f"{what} in {place}")


def _is_tree(entry: os.DirEntry[str]) -> bool:
    return is_name(entry.name) and _is_folder(entry) and _has_folders(Path(entry))


def _has_folders(folder: Path) -> bool:
    """Whether several folders lie in ``folder``, or in the only one in it, which is entered when it is read."""
    inner = [*filter(_is_folder, _visible(folder))]
    if len(inner) == 1:
        return _has_folders(Path(inner[0]))
    return bool(inner) and not is_home(folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)  # a link may lead out of the root


def _is_passed_over(name: str) -> bool:
    return is_hidden(name) or is_ignored(name)


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(islice((entry for entry in entries if not _is_passed_over(entry.name)), _MOST))
    except OSError:
        return []
