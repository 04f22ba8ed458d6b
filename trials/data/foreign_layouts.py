"""Foreign layouts: directories of images whose classes are not told by folders, and what to do about them.

To be asked once a directory turned out not to be a tree of class folders: it says what the directory looks like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from convscout.trials.data.image_files import SUFFIXES

_MOST_LOOKED_AT = 1000  # entries of a folder
_NAMED_CLASS = re.compile(r"([A-Za-z]+)[._ -]?\d+", re.ASCII)


def describe_layout(root: Path) -> str:
    """What the directory ``root`` looks like, with what to do; empty where it is none of the known layouts.

    Few entries are looked at, and none is read, so this takes no time worth mentioning.
    """
    return next((found for look in _LAYOUTS if (found := look(root))), "")


def _yolo(root: Path) -> str:
    if not (root / "images").is_dir() or not _has(root / "labels", ".txt"):
        return ""
    return (
        "it looks like data for detection (YOLO: images/ and labels/*.txt), where an image may show several things; "
        "cut out each box and put it into a folder of the name of its class"
    )


def _coco(root: Path) -> str:
    if not _has(root / "annotations", ".json"):
        return ""
    return (
        "it looks like data for detection (COCO: annotations/*.json), where an image may show several things; cut out "
        "each box and put it into a folder of the name of its class"
    )


def _table(root: Path) -> str:
    tables = [path.name for path in _entries(root) if path.suffix.lower() in (".csv", ".tsv")]
    if not tables:
        return ""
    return (
        f"its labels seem to be in a table ({tables[0]}); put each image into a folder of the name of its class, "
        f"as in {root.name}/cat/1.png"
    )


def _named_files(root: Path) -> str:
    names = {
        match[1]
        for path in _entries(root)
        if path.suffix.lower() in SUFFIXES and (match := _NAMED_CLASS.fullmatch(path.stem))
    }
    if not 2 <= len(names) <= 20:
        return ""
    told = ", ".join(sorted(names)[:3])
    return (
        f"its classes seem to be in the names of its files ({told}); put each image into a folder of the name of its "
        f"class, as in {root.name}/{min(names)}/1.png"
    )


_LAYOUTS: Sequence[Callable[[Path], str]] = (_yolo, _coco, _table, _named_files)


def _has(folder: Path, suffix: str) -> bool:
    """Whether ``folder``, or a folder in it such as ``labels/train``, has a file with that suffix."""
    entries = list(_entries(folder))
    inner = (path for each in entries[:10] if each.is_dir() for path in _entries(each))
    return any(path.suffix.lower() == suffix for path in (*entries, *inner))


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from islice(folder.iterdir(), _MOST_LOOKED_AT)
    except OSError:
        return
