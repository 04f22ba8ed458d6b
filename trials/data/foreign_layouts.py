"""Foreign layouts: directories of images whose classes are not told by folders, and what to do about them.

To be asked once a directory turned out not to be a tree of class folders: it says what the directory looks like.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, islice
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from convscout.trials.data.image_files import SUFFIXES, suffix_in

_MOST_LOOKED_AT = 1000  # entries of a folder
_MOST_AROUND = 10  # folders with nothing in them but another one
_NAMED_CLASS = re.compile(r"([A-Za-z]+)[._ -]?\d+", re.ASCII)

Listing: TypeAlias = Callable[[str], Sequence[str]]
"""From a folder, which is empty or ends with ``/``, to the names in it; those of folders end with ``/``."""


def describe_layout(root: Path) -> str:
    """What the directory ``root`` looks like, with what to do; empty where it is none of the known layouts.

    Few entries are looked at, and none is read, so this takes no time worth mentioning.
    """

    def names(folder: str) -> Sequence[str]:
        try:
            entries = list(islice((root / folder).iterdir(), _MOST_LOOKED_AT))
        except OSError:
            return []
        return [f"{path.name}/" if path.is_dir() else path.name for path in entries]

    return _describe(names, f"{root.name}/")


def describe_names(paths: Iterable[str]) -> str:
    """What an archive of files at ``paths`` looks like; as ``describe_layout``."""
    names: dict[str, dict[str, None]] = defaultdict(dict)
    for path in paths:
        *folders, file = PurePosixPath(path).parts
        parents = ["", *accumulate(f"{folder}/" for folder in folders)]
        for parent, name in zip(parents, [*(f"{folder}/" for folder in folders), file], strict=True):
            names[parent][name] = None
    return _describe(lambda folder: list(names[folder]), "")


def _describe(names: Listing, name: str) -> str:
    top = ""
    for _ in range(_MOST_AROUND):
        inner = names(top)
        if len(inner) != 1 or not inner[0].endswith("/"):
            break
        top += inner[0]

    def within(folder: str) -> Sequence[str]:
        return names(top + folder)

    return next((found for look in _LAYOUTS if (found := look(within, name + top))), "")


def _yolo(names: Listing, top: str) -> str:
    if "images/" not in names("") or not _has(names, "labels/", ".txt"):
        return ""
    return (
        "it looks like data for detection (YOLO: images/ and labels/*.txt), where an image may show several things; "
        "cut out each box and put it into a folder of the name of its class"
    )


def _coco(names: Listing, top: str) -> str:
    if not _has(names, "annotations/", ".json"):
        return ""
    return (
        "it looks like data for detection (COCO: annotations/*.json), where an image may show several things; cut out "
        "each box and put it into a folder of the name of its class"
    )


def _table(names: Listing, top: str) -> str:
    # Kaggle's sample_submission.csv has no labels
    tables = sorted(
        name for name in names("") if suffix_in(name) in (".csv", ".tsv") and "submission" not in name
    )
    if not tables:
        return ""
    return (
        f"its labels seem to be in a table ({tables[0]}); put each image into a folder of the name of its class, "
        f"as in {top}cat/1.png"
    )


def _named_files(names: Listing, top: str) -> str:
    classes = {
        match[1]
        for name in names("")
        if suffix_in(name) in SUFFIXES and (match := _NAMED_CLASS.fullmatch(Path(name).stem))
    }
    if not 2 <= len(classes) <= 20:
        return ""
    told = ", ".join(sorted(classes)[:3])
    return (
        f"its classes seem to be in the names of its files ({told}); put each image into a folder of the name of its "
        f"class, as in {top}{min(classes)}/1.png"
    )


_LAYOUTS: Sequence[Callable[[Listing, str], str]] = (_yolo, _coco, _table, _named_files)


def _has(names: Listing, folder: str, suffix: str) -> bool:
    """Whether ``folder``, or a folder in it such as ``labels/train/``, has a file with that suffix."""
    entries = names(folder)
    inner = (name for each in entries[:10] if each.endswith("/") for name in names(folder + each))
    return any(suffix_in(name) == suffix for name in (*entries, *inner))
