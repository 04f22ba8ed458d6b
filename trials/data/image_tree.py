"""Image trees: which files of a directory are images, of which classes and splits.

``trials/data/tree_layout.py`` says how the directory may be laid out. Classes are numbered in the order of their
names, as torchvision's ``ImageFolder`` does. Images may lie in folders within a class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from convscout.search_space.errors import DataError
from convscout.trials.data.division import Rows
from convscout.trials.data.foreign_layouts import describe_layout
from convscout.trials.data.splits import Labels
from convscout.trials.data.tree_layout import read_layout
from convscout.trials.data.tree_walker import ImageFile as ImageFile  # most know files from here
from convscout.trials.data.tree_walker import TreeWalker


@dataclass(frozen=True, kw_only=True)
class ImageTree:
    """All image files under ``root`` by split; a ``validation`` or ``test`` that the tree lacks is None.

    ``top`` is where its classes or splits lie, ``root`` itself unless folders lie around them. ``notes`` tells how
    the tree was read and what was left out, where that is not plain.
    """

    root: Path
    top: Path
    class_names: tuple[str, ...]
    train: tuple[ImageFile, ...]
    validation: tuple[ImageFile, ...] | None = None
    test: tuple[ImageFile, ...] | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def files(self) -> tuple[ImageFile, ...]:
        """All files: train, then validation, then test."""
        return self.train + (self.validation or ()) + (self.test or ())

    @property
    def splits(self) -> dict[str, tuple[ImageFile, ...]]:
        """The files of the splits that the tree has, by name, in the order of ``files``."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: files for name, files in named.items() if files is not None}

    @cached_property
    def labels(self) -> dict[str, Labels]:
        """Those of the splits that the tree has, whether or not their files can be read."""
        return {
            name: np.array([file.label for file in files], dtype=np.int64)
            for name, files in self.splits.items()
        }

    def only(self, chosen: Rows) -> ImageTree:
        """The tree without all files but those of the numbers ``chosen`` among ``files``, which are in order."""
        if len(chosen) == len(self.files):
            return self
        parts, first = {}, 0
        for name, files in self.splits.items():
            start, end = np.searchsorted(chosen, (first, first + len(files)))
            parts[name] = tuple(self.files[number] for number in chosen[start:end].tolist())
            first += len(files)
        return replace(self, train=parts["train"], validation=parts.get("validation"), test=parts.get("test"))


def scan(root: Path) -> ImageTree:
    """The image files under ``root``. Raises ``DataError`` where its layout is not known or can be read in two ways."""
    if not root.is_dir():
        fault = "is not a directory" if root.exists() else "does not exist"
        raise DataError(f"{root} {fault}; give the directory that holds the class folders")
    try:
        tree = _scan(TreeWalker(root))
    except DataError as error:
        if hint := describe_layout(root):
            raise DataError(f"{error.message}; {hint}") from error
        raise
    if len(tree.class_names) == 1 and (hint := describe_layout(root)):
        raise DataError(f"{root} has {tree.class_names[0]}/ alone for a class; {hint}")
    return tree


def _scan(walker: TreeWalker) -> ImageTree:
    layout = read_layout(walker)
    files = {split: tuple(walker.images([*folders.values()])) for split, folders in layout.classes.items()}
    return ImageTree(
        root=walker.root,
        top=layout.top,
        class_names=tuple(layout.classes["train"]),
        train=files["train"],
        validation=files.get("validation"),
        test=files.get("test"),
        notes=(*layout.notes, *walker.notes),
    )
