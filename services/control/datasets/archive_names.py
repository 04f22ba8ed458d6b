"""Names in archives: a zip says of few names how they are encoded, so the others are found out, or asked for."""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath

from convscout.search_space.errors import DataError

_IS_UTF8 = 0x800  # the flag of a member whose name says that it is
_OLDEST = "cp437"  # what the format meant once, and what Python takes unflagged names for
_GUESSES = (_OLDEST, "cp866", "gbk", "cp932", "cp1252")  # of Windows, for a person to recognise the names by


def read_names(archive: zipfile.ZipFile) -> tuple[list[str], tuple[str, ...]]:
    """The name of each member of ``archive`` as it is there, and notes on what is guessed and on accents to compose.

    Raises ``DataError`` where names are in an encoding that can only be guessed.
    """
    infos = archive.infolist()
    encoding, notes = _encoding(infos)
    names = [_decode(info, encoding) for info in infos]
    composed = [unicodedata.normalize("NFC", name) for name in names]
    if changed := [name for name, before in zip(composed, names, strict=True) if name != before]:
        notes = (
            *notes,
            f"accents are composed (NFC) in the names of {len(changed):,} files, as in {changed[0]!r}",
        )
    return names, notes


def _encoding(infos: Sequence[zipfile.ZipInfo]) -> tuple[str, tuple[str, ...]]:
    """That of all names that do not say it, and a note on it unless there are none."""
    unknown = [raw for info in infos if not _is_known(info) and not (raw := _raw(info)).isascii()]
    if not unknown:
        return _OLDEST, ()
    example = unknown[0]
    if all(_decodes(raw, "utf-8") for raw in unknown):
        return "utf-8", (
            f"names are taken as UTF-8, which the archive does not say, as in {example.decode()!r}",
        )
    if _are_western([raw.decode(_OLDEST) for raw in unknown]):
        return _OLDEST, (f"names are taken as code page 437, as in {example.decode(_OLDEST)!r}",)
    readings = ", ".join(
        f"{example.decode(each)!r} as {each}" for each in _GUESSES if _is_likely(example, each)
    )
    raise DataError(
        f"has names in an encoding that it does not tell, e.g. {readings or repr(example)}; pack it again with names "
        "in UTF-8, as zip on Linux, Finder and 7-Zip (with -mcu=on) do, or with class folders of plain letters"
    )


def _is_known(info: zipfile.ZipInfo) -> bool:
    return bool(info.flag_bits & _IS_UTF8)


def _raw(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode(_OLDEST)


def _decode(info: zipfile.ZipInfo, encoding: str) -> str:
    return info.orig_filename if _is_known(info) else _raw(info).decode(encoding)


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        return raw.decode(encoding).isprintable()
    except UnicodeDecodeError:
        return False


def _is_likely(raw: bytes, encoding: str) -> bool:
    return _decodes(raw, encoding) and (encoding != _OLDEST or _is_latin(raw.decode(_OLDEST)))


def _is_latin(name: str) -> bool:
    return all(letter.isascii() or unicodedata.name(letter, "").startswith("LATIN") for letter in name)


def _are_western(names: Sequence[str]) -> bool:
    """Whether ``names`` are Latin and few of their letters have accents: all capitals of cp866 would seem to have."""
    parts = {part for name in names for part in PurePosixPath(name).parts if not part.isascii()}
    letters = [letter.isascii() for part in parts for letter in PurePosixPath(part).stem if letter.isalpha()]
    return all(map(_is_latin, names)) and 2 * sum(letters) > len(letters)
