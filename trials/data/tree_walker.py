"""Tree walker: list the folders and image files of a directory tree, and note what is passed over."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from convscout.search_space.errors import DataError, list_names
from convscout.trials.data.image_files import SUFFIXES, kind_of, problem_of, suffix_in
from convscout.trials.data.tree_names import is_hidden, is_ignored

# A home of convscout, which lies among the pictures where a search was started there.
_DATABASES = ("convscout.db", "mlflow.db")
_HOME = frozenset({*_DATABASES, "cache", "mlflow-artifacts", "storage", "studies"})


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


class TreeWalker:
    """Walks the tree under ``root``, following symbolic links; a link that leads to where it was is an error.

    ``notes`` tells what it passed over, in sentences for a person.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[tuple[int, int], Path] = {}
        self._ignored: set[str] = set()
        self._composed: set[str] = set()
        self._others: Counter[str] = Counter()

    @property
    def notes(self) -> list[str]:
        """What was passed over so far."""
        notes = []
        if self._ignored:
            notes.append(
                f"left out, as they hold no pictures of a class: {list_names(sorted(self._ignored))}"
            )
        if self._composed:
            notes.append(f"accents are composed (NFC) in the names {list_names(sorted(self._composed))}")
        if self._others:
            counts = (f"{count:,} {suffix}" for suffix, count in self._others.most_common())
            notes.append(f"left out, as they are no images: {list_names([*counts])}")
        return notes

    def relative(self, path: Path) -> str:
        """``path`` as it is called within the tree."""
        return os.path.relpath(path, self.root)

    def folders(self, parent: Path) -> dict[str, Path]:
        """The folders of ``parent`` that may hold images, sorted by name, in which accents are composed (NFC)."""
        found: dict[str, Path] = {}
        for name in sorted(entry.name for entry in self._entries(parent) if _is_folder(entry)):
            if not name.isprintable():
                raise DataError(f"{parent} has a folder {name!r}; the name of a class must be printable text")
            composed = unicodedata.normalize("NFC", name)
            if composed in found:
                raise DataError(
                    f"{parent} has two folders {composed!r} that differ in how accents are encoded alone, "
                    f"{found[composed].name!a} and {name!a}; put their images into one"
                )
            if composed != name:
                self._composed.add(composed)
            found[composed] = parent / name
        return dict(sorted(found.items()))

    def count_images(self, folder: Path) -> int:
        """How many image files lie in ``folder`` itself."""
        return sum(not _is_folder(entry) and bool(kind_of(entry)) for entry in self._entries(folder))

    def images(self, classes: Sequence[Path]) -> Iterator[ImageFile]:
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
        self.enter(folder)
        prefix = self.relative(folder)
        for entry in self._entries(folder):
            if _is_folder(entry):
                yield from self._walk(folder / entry.name, label)
            elif kind := kind_of(entry):
                yield _image_file(entry, f"{prefix}/{entry.name}", label, kind)
            else:
                self._others[suffix_in(entry.name) or "without a suffix"] += 1

    def enter(self, folder: Path) -> None:
        """Keep in mind that ``folder`` was read. Raises ``DataError`` where it was before, under another name."""
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            raise DataError(
                f"{folder} leads to {self._seen[identity]} again (a symbolic link?), "
                "so its images would count twice or without end; remove the link"
            )
        self._seen[identity] = folder

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """What is in ``folder`` and counts."""
        kept = []
        for entry in _list(folder):
            if _is_folder(entry) and (is_ignored(entry.name) or is_home(folder / entry.name)):
                self._ignored.add(f"{self.relative(folder / entry.name)}/")
            else:
                kept.append(entry)
        return kept


def _image_file(entry: os.DirEntry[str], path: str, label: int, kind: str) -> ImageFile:
    try:
        status = entry.stat()
    except OSError as error:
        return ImageFile(
            path=path, label=label, size=0, mtime_ns=0, problem=f"cannot be read: {error.strerror}"
        )
    # opening a pipe could wait for ever
    problem = problem_of(kind) if stat.S_ISREG(status.st_mode) else "is not a regular file"
    return ImageFile(
        path=path, label=label, size=status.st_size, mtime_ns=status.st_mtime_ns, problem=problem
    )


def _list(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}") from error


def is_home(folder: Path) -> bool:
    """Whether convscout keeps its studies in ``folder``."""
    try:
        if any((folder / name).is_file() for name in _DATABASES):
            return True
        with os.scandir(folder) as entries:
            first = next(entries, None)
            return first is not None and all(entry.name in _HOME for entry in chain((first,), entries))
    except OSError:  # which is told when the folder is listed
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a symbolic link to itself; as an image it is named among the unreadable ones
        return False
