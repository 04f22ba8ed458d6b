"""Image trees: find the image files of a directory whose folders are classes.

Three layouts are known, where ``val`` may also be called ``valid`` or ``validation``::

    ROOT/<class>/…                                  to be split by convscout
    ROOT/train/<class>/…  ROOT/test/<class>/…       validation to be taken out of train
    ROOT/train/<class>/…  ROOT/val/<class>/…  ROOT/test/<class>/…

Classes are numbered in the order of their names, as torchvision's ``ImageFolder`` does. Images may lie
in folders within a class. Hidden entries (``.name``) and files that are no images are passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from search_space.errors import DataError
from trials.division import Rows
from trials.image_files import SUFFIXES, UNSUPPORTED_SUFFIXES
from trials.splits import Labels

_VALIDATION_NAMES = ("val", "valid", "validation")


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A file that should hold an image. ``problem`` says why it cannot even be tried, else it is empty.

    ``path`` is relative to the tree's root. ``size`` is in bytes.
    """

    path: str
    label: int
    size: int
    mtime_ns: int
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class ImageTree:
    """All image files under ``root`` by split; a ``validation`` or ``test`` that the tree lacks is None."""

    root: Path
    class_names: tuple[str, ...]
    train: tuple[ImageFile, ...]
    validation: tuple[ImageFile, ...] | None = None
    test: tuple[ImageFile, ...] | None = None

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
        return ImageTree(root=self.root, class_names=self.class_names, **parts)


def scan(root: Path) -> ImageTree:
    """The image files under ``root``. Raises ``DataError`` where it is not laid out as above."""
    if not root.is_dir():
        fault = "is not a directory" if root.exists() else "does not exist"
        raise DataError(f"{root} {fault}; give the directory that holds the class folders")
    walker = _Walker(root)
    folders = walker.folders(root)
    if "train" in folders and walker.folders(folders["train"]):
        return _split_tree(walker, folders)
    if not folders:
        raise DataError(
            f"{root} has no class folders; each class needs a folder of its own, e.g. {root}/cat/1.png"
        )
    names = tuple(folders)
    return ImageTree(root=root, class_names=names, train=tuple(walker.images(list(folders.values()))))


def _split_tree(walker: _Walker, folders: dict[str, Path]) -> ImageTree:
    validation = [name for name in _VALIDATION_NAMES if name in folders]
    if len(validation) > 1:
        raise DataError(f"{walker.root} has both {' and '.join(validation)}; keep one validation split")
    if "test" not in folders:
        raise DataError(
            f"{walker.root} has train/ but no test/; add {walker.root}/test/<class>/…, "
            f"or put the class folders straight into {walker.root} to have them split"
        )
    splits = {name: walker.folders(folders[name]) for name in ("train", *validation, "test")}
    _check_same_classes(walker.root, splits)
    images = {name: tuple(walker.images(list(classes.values()))) for name, classes in splits.items()}
    return ImageTree(
        root=walker.root,
        class_names=tuple(splits["train"]),
        train=images["train"],
        validation=images[validation[0]] if validation else None,
        test=images["test"],
    )


def _check_same_classes(root: Path, splits: dict[str, dict[str, Path]]) -> None:
    train = set(splits["train"])
    for split, folders in splits.items():
        differences = {f"only in train/: {name}" for name in train - set(folders)}
        differences |= {f"only in {split}/: {name}" for name in set(folders) - train}
        if differences:
            raise DataError(
                f"{root}: train/ and {split}/ must have the same class folders, but differ "
                f"({'; '.join(sorted(differences))})"
            )


class _Walker:
    """Walks a tree, following symbolic links, and remembers where it was, so that a loop is an error."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[tuple[int, int], Path] = {}

    def folders(self, parent: Path) -> dict[str, Path]:
        """The visible folders of ``parent`` by name, sorted."""
        names = sorted(entry.name for entry in _entries(parent) if _is_folder(entry))
        for name in names:
            if not name.isprintable():
                raise DataError(f"{parent} has a folder {name!r}; the name of a class must be printable text")
        return {name: parent / name for name in names}

    def images(self, classes: list[Path]) -> Iterator[ImageFile]:
        """The image files of the class folders ``classes``, whose labels are 0, 1, …"""
        for label, folder in enumerate(classes):
            found = sorted(self._walk(folder, label), key=lambda file: file.path)
            if not found:
                suffixes = ", ".join(sorted(SUFFIXES))
                raise DataError(
                    f"class folder {folder} has no images ({suffixes}); add some or remove the folder"
                )
            yield from found

    def _walk(self, folder: Path, label: int) -> Iterator[ImageFile]:
        self._enter(folder)
        prefix = os.path.relpath(folder, self.root)
        for entry in _entries(folder):
            suffix = _suffix(entry.name)
            if _is_folder(entry):
                yield from self._walk(folder / entry.name, label)
            elif suffix in SUFFIXES or suffix in UNSUPPORTED_SUFFIXES:
                yield _image_file(entry, f"{prefix}/{entry.name}", label)

    def _enter(self, folder: Path) -> None:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            raise DataError(
                f"{folder} leads to {self._seen[identity]} again (a symbolic link?), "
                "so its images would count twice or without end; remove the link"
            )
        self._seen[identity] = folder


def _image_file(entry: os.DirEntry[str], path: str, label: int) -> ImageFile:
    try:
        status = entry.stat()
    except OSError as error:
        return ImageFile(
            path=path, label=label, size=0, mtime_ns=0, problem=f"cannot be read: {error.strerror}"
        )
    suffix = _suffix(entry.name)
    problem = ""
    if not stat.S_ISREG(status.st_mode):
        problem = "is not a regular file"  # opening a pipe could wait for ever
    elif suffix in UNSUPPORTED_SUFFIXES:
        problem = f"is a {suffix} file; convert it to PNG"
    return ImageFile(
        path=path, label=label, size=status.st_size, mtime_ns=status.st_mtime_ns, problem=problem
    )


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2].lower()  # a Path for each of many thousand files would take longer


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a symbolic link to itself; as an image it is named among the unreadable ones
        return False
