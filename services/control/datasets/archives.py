"""Archives: zip files that nobody vouches for, opened and unpacked within limits.

What an archive says of itself is not believed: how many members there are is counted before they are parsed, how large
they are while they are unpacked, and whether two share their bytes shows in how much comes out. Only regular files of
plain names are ever written, each anew. An archive that tries anything else is refused as a whole.
"""

from __future__ import annotations

import io
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from convscout.search_space.errors import DataError
from convscout.services.control.datasets.archive_names import read_names
from convscout.services.control.datasets.class_names import check_class_name
from convscout.services.schemas.datasets import SkippedFile
from convscout.trials.data.image_files import (
    NETWORK_FORMATS,
    NETWORK_SUFFIXES,
    NUM_MAGIC_BYTES,
    SUFFIXES,
    UNSUPPORTED_SUFFIXES,
    name_formats,
    suffix_in,
    suffix_of,
)
from convscout.trials.data.tree_names import is_hidden, is_ignored

MAGIC = b"PK\x03\x04"
DECLARATION = "convscout.toml"  # of the symmetries of a tree, at its root
_ENTRY = b"PK\x01\x02"  # begins each entry of a zip's directory
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack a block to any size at once
_BLOCK = 2**18  # bytes unpacked at once
_ENCRYPTED = 0x1
_LONGEST_NAME = 255  # bytes, as most file systems have it
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """How much may come out of an archive: ``total_bytes`` in all, ``member_bytes`` of one file.

    ``ratio`` is the largest allowed between what comes out and what was sent, once that is over ``slack_bytes``.
    ``directory_bytes`` bounds the zip's own list of its members, ``depth`` the folders that lie in each other.
    """

    total_bytes: int
    members: int = 200_000
    member_bytes: int = 2**27
    ratio: int = 100
    slack_bytes: int = 2**24
    directory_bytes: int = 2**26
    depth: int = 16
    path_bytes: int = 1024


class ArchiveMember(NamedTuple):
    """A file of an archive and the folders that lead to it, its own name last."""

    info: zipfile.ZipInfo
    parts: tuple[str, ...]

    @property
    def path(self) -> str:
        return "/".join(self.parts)


@contextmanager
def open_archive(path: Path, limits: ArchiveLimits) -> Iterator[zipfile.ZipFile]:
    """The zip file at ``path``. Raises ``DataError`` where it is none, is damaged or has too many members."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise DataError("is not a zip archive with files in it, nor an npz file")
    with _Wary(path, limits) as source:
        try:
            archive = zipfile.ZipFile(source)
        except DataError:
            raise
        except Exception as error:  # the parser raises anything on a damaged file
            raise DataError(f"is a damaged or incomplete zip archive ({error})") from None
        with archive:
            yield archive


def members(archive: zipfile.ZipFile, limits: ArchiveLimits) -> list[ArchiveMember]:
    """The files of ``archive``, hidden ones left out, with accents composed (NFC) in their names.

    Raises ``DataError`` for what no honest archive holds.
    """
    names, _ = read_names(archive)
    found = [
        ArchiveMember(info, _parts(info, name, limits))
        for info, name in zip(archive.infolist(), names, strict=True)
    ]
    files = [each for each in found if not each.info.is_dir() and not any(map(is_hidden, each.parts))]
    _refuse_collisions(files)
    return [
        ArchiveMember(each.info, tuple(unicodedata.normalize("NFC", part) for part in each.parts))
        for each in files
    ]


def images(
    archive: zipfile.ZipFile, found: Sequence[ArchiveMember]
) -> tuple[list[ArchiveMember], list[SkippedFile]]:
    """The members that are a tree of image folders, and those that are not."""
    tree, skipped = [], []
    for member in found:
        reason = "" if member.parts[-1] == DECLARATION else _reason(archive, member)
        if reason:
            skipped.append(SkippedFile(path=member.path, reason=reason))
        else:
            tree.append(member)
    for each in tree:
        for name in each.parts[:-1]:
            check_class_name(name)
    return tree, skipped


def unpack(
    archive: zipfile.ZipFile, wanted: Iterable[ArchiveMember], target: Path, budget: UnpackingBudget
) -> list[SkippedFile]:
    """Write the ``wanted`` members under ``target``, and remove those again that hold something else than they say.

    Returns these. Raises ``DataError``, or ``OSError`` where there is no room.
    """
    removed = []
    for member in wanted:
        path = target.joinpath(*member.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for block in budget.blocks(archive, member.info):
                file.write(block)
        if member.parts[-1] != DECLARATION and (reason := _foreign(path)):
            path.unlink()
            removed.append(SkippedFile(path=member.path, reason=reason))
    return removed


class UnpackingBudget:
    """Counts what comes out of an archive of ``sent`` bytes, and ends it where that is more than ``limits`` allow."""

    def __init__(self, limits: ArchiveLimits, sent: int) -> None:
        self.spent = 0
        self._limits = limits
        self._most = min(limits.total_bytes, max(limits.slack_bytes, limits.ratio * sent))

    def blocks(
        self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int | None = None
    ) -> Iterator[bytes]:
        """What ``info`` unpacks to, block by block, ``most`` bytes in all. Raises ``DataError``."""
        seen, most = 0, most or self._limits.member_bytes
        for block in _unpack(archive, info):
            seen += len(block)
            self.spent += len(block)
            if seen > most:
                raise DataError(f"{info.filename!r} unpacks to more than {most / 1e6:.0f} MB")
            if self.spent > self._most:
                raise DataError(
                    f"unpacks to more than {self._most / 1e6:.0f} MB, which is the limit for an upload of its size"
                )
            yield block
        if seen != info.file_size:
            raise DataError(f"{info.filename!r} has {seen} bytes, where the archive says {info.file_size}")


class _Wary(io.FileIO):
    """A file that hands out no zip directory larger than the limits, however large it is said to be."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        super().__init__(path)
        self._limits = limits

    def read(self, size: int | None = -1, /) -> bytes:
        most = self._limits.directory_bytes
        if size is not None and size > most:
            raise DataError(f"has a list of its files that is larger than {most / 1e6:.0f} MB")
        data = super().read(most if size is None or size < 0 else size) or b""
        if data.startswith(_ENTRY) and data.count(_ENTRY) > self._limits.members:
            raise DataError(f"holds more than {self._limits.members:,} files")
        return data


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as file:
            while block := file.read(_BLOCK):
                yield block
    except Exception as error:  # decoders raise anything on a damaged file; here it gets its name
        raise DataError(f"{info.filename!r} is damaged ({error})") from None


def _parts(info: zipfile.ZipInfo, name: str, limits: ArchiveLimits) -> tuple[str, ...]:
    """The folders and the file's own name in ``name``. Raises ``DataError`` for what must not be written so."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    rule = _broken_rule(info, name) or _unfit(parts, limits)
    if rule or not (parts or name.endswith("/")):
        raise DataError(
            f"{name[:200]!r} {rule or 'has no name'}; an archive may hold plain files in folders only"
        )
    return parts


def _unfit(parts: Sequence[str], limits: ArchiveLimits) -> str:
    """What is wrong with the length of a path; empty where nothing is."""
    lengths = [len(part.encode()) for part in parts]
    if len(parts) > limits.depth:
        return f"lies more than {limits.depth} folders deep"
    if sum(lengths) > limits.path_bytes or max(lengths, default=0) > _LONGEST_NAME:
        return "has too long a name"
    return ""


def _broken_rule(info: zipfile.ZipInfo, name: str) -> str:
    """What is wrong with a member; empty where nothing is."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in _METHODS:
        return "is packed by another method than deflate"
    if name.startswith("/") or _DRIVE.match(name):
        return "has an absolute path"
    if ".." in name.split("/"):
        return "leads out of its folder"
    if not name.isprintable() or "\\" in name:
        return "has a name with characters that cannot be printed, or backslashes"
    return ""


def _refuse_collisions(files: Iterable[ArchiveMember]) -> None:
    """Raise ``DataError`` where two files, or a file and a folder, have names that some file systems take for one."""
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for member in files:
        folded = tuple(unicodedata.normalize("NFC", part).casefold() for part in member.parts)
        for end in range(1, len(folded) + 1):
            its = member.parts[:end] if end < len(folded) else (*member.parts, "")  # none but this file's
            before = known.get(folded[:end])
            if before is not None and (before != its or end == len(folded)):
                other = "/".join(part for part in before if part)
                raise DataError(
                    f"{member.path!r} and {other!r} have the same name, or differ in case or accents' encoding alone"
                )
            known[folded[:end]] = its


def _reason(archive: zipfile.ZipFile, member: ArchiveMember) -> str:
    """Why a member is left out; empty for what seems to be an image of a class."""
    if any(map(is_ignored, member.parts[:-1])):
        return "lies in a folder that holds no pictures of a class"
    suffix = suffix_in(member.parts[-1])
    if suffix not in SUFFIXES | UNSUPPORTED_SUFFIXES:
        suffix = suffix_of(_beginning(archive, member.info))
    return _fault(suffix)


def _beginning(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    blocks = _unpack(archive, info)
    return next(blocks, b"")[:NUM_MAGIC_BYTES]


def _foreign(path: Path) -> str:
    """Why the file at ``path`` is not for the decoders that may see it; empty where it is."""
    with path.open("rb") as file:
        beginning = file.read(NUM_MAGIC_BYTES)
    return _fault(suffix_of(beginning)) if beginning else "is empty (0 bytes)"


def _fault(suffix: str) -> str:
    if suffix in NETWORK_SUFFIXES:
        return ""
    return (
        f"is a {suffix} file; convert it to PNG" if suffix else f"is not {name_formats(NETWORK_FORMATS)} file"
    )
