"""Tree names: what the name of a folder says of it, for a directory of image files and for an archive alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SPLITS: Final = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing"),
}
"""The words for each split, in the order of the splits; case does not matter."""

_BETWEEN_WORDS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])|(?<=\d)(?=[^\W\d_])|(?<=[^\W\d_])(?=\d)")
_FILLERS = frozenset({"", "set", "data", "images", "imgs", "split"})  # train_set, data-train
# What systems and programs put beside pictures: copies in small, and the other half of files from a Mac.
_IGNORED = frozenset(
    {
        "#recycle",
        "$recycle.bin",
        "@__thumb",
        "@eadir",
        "@recycle",
        "__macosx",
        "__pycache__",
        "lost+found",
        "mlruns",
        "network trash folder",
        "system volume information",
        "thumbnails",
        "thumbs",
    }
)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over without a word, as everywhere."""
    return name.startswith(".")


def is_ignored(name: str) -> bool:
    """Whether a folder of this name is never a class nor a part of one."""
    return name.casefold() in _IGNORED


def find_splits(names: Iterable[str]) -> dict[str, list[str]]:
    """Those of the folders ``names`` that are called like a split, by split.

    What else is in a name must be a word such as ``set``, or the same in the names of several splits, as in
    ``seg_train`` and ``seg_test``, or ``train2017`` and ``val2017``; a ``train_station`` is none.
    """
    parts = {name: part for name in names if (part := _split_of(name))}
    rests: dict[str, set[str]] = {}
    for split, rest in parts.values():
        rests.setdefault(rest, set()).add(split)
    found = {
        split: [name for name, (its, rest) in parts.items() if its == split and _fits(rest, rests)]
        for split in SPLITS
    }
    return {split: folders for split, folders in found.items() if folders}


def _fits(rest: str, rests: dict[str, set[str]]) -> bool:
    return not rest or len(rests[rest]) > 1


def _split_of(name: str) -> tuple[str, str] | None:
    """The split that a folder is called like, and what else is in its name; None for no split or several."""
    words = [word for part in _BETWEEN_WORDS.split(name) if (word := part.casefold()) not in _FILLERS]
    stems = [word.removesuffix("set") for word in words]  # trainset
    splits = [split for stem in stems for split, spelled in SPLITS.items() if stem in spelled]
    if len(splits) != 1:
        return None
    rest = [word for word, stem in zip(words, stems, strict=True) if stem not in SPLITS[splits[0]]]
    return splits[0], " ".join(rest)
