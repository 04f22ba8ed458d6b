"""SHA256SUMS: the hashes of a directory's files, in the format of ``sha256sum``."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from convscout.search_space.errors import ExportError

FILE = "SHA256SUMS"
_MOST_BYTES = 1_000_000
_LINE = re.compile(
    r"(?P<hash>[0-9a-f]{64})  (?P<name>\w[\w.-]*(/\w[\w.-]*)*)", re.ASCII
)  # plain names cannot leave the directory


def write_checksums(directory: Path) -> None:
    """Hash every file in and below ``directory`` into ``directory/SHA256SUMS``."""
    found = sorted(path for path in directory.rglob("*") if path.is_file())
    lines = [f"{_hash(path)}  {path.relative_to(directory).as_posix()}\n" for path in found]
    (directory / FILE).write_text("".join(lines))


def listed_files(directory: Path) -> dict[str, str]:
    """Name → SHA-256 (hex) of the files that ``directory/SHA256SUMS`` lists.

    Raises ``ExportError`` when ``directory`` is not an export or the list cannot be read.
    """
    if not directory.is_dir():
        raise ExportError(f"{directory} is not a directory; give the directory that an export was written to")
    path = directory / FILE
    if not path.is_file():  # nor a pipe, whose end would never come
        raise ExportError(f"{directory} is not an export: it has no {FILE}")
    if path.stat().st_size > _MOST_BYTES:
        raise ExportError(f"{path} is damaged: it has more than {_MOST_BYTES / 1e6:g} MB")
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        raise ExportError(f"{path} is damaged: it is not text") from None
    matches = [_LINE.fullmatch(line) for line in lines]
    files = {match["name"]: match["hash"] for match in matches if match}
    if len(files) < len(lines) or not files:
        raise ExportError(f"{path} is damaged: it must hold one hash and one name a line")
    return files


def verify(directory: Path, *, required: str) -> None:
    """Check every listed file of ``directory``, among which must be ``required``.

    Raises ``ExportError`` naming the first file that is missing or differs from its hash.
    """
    files = listed_files(directory)
    if required not in files:
        raise ExportError(f"{directory} was exported without {required}; export it again with all formats")
    for name, expected in files.items():
        path = directory / name
        if not path.is_file():
            raise ExportError(f"{path} is missing from the export; export again or copy the directory anew")
        if _hash(path) != expected:
            raise ExportError(
                f"{path} is damaged or was changed: its SHA-256 is not the one in {FILE}; "
                "export again or copy the directory anew"
            )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
