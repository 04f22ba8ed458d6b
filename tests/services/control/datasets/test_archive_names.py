"""Names in archives: what is said of an encoding that the archive does not tell, and what is asked for."""

from __future__ import annotations

import io
import zipfile

import pytest

from convscout.search_space.errors import DataError
from convscout.services.control.datasets.archive_names import read_names


def packed(*names: str, encoding: str) -> zipfile.ZipFile:
    """An archive of empty files whose names are in an ``encoding`` that it does not tell."""
    buffer, raw = io.BytesIO(), {}
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names):
            raw[f"{number:0{len(name.encode(encoding))}}".encode()] = name.encode(encoding)
            archive.writestr([*raw][-1].decode(), b"")
    content = buffer.getvalue()
    for plain, name in raw.items():
        content = content.replace(plain, name)
    return zipfile.ZipFile(io.BytesIO(content))


def test_names_that_are_utf8_without_its_flag_are_taken_so_and_said() -> None:
    names, notes = read_names(packed("käse/1.png", "wurst/1.png", encoding="utf-8"))
    assert names == ["käse/1.png", "wurst/1.png"]
    assert notes == ("names are taken as UTF-8, which the archive does not say, as in 'käse/1.png'",)


def test_names_of_an_older_windows_are_taken_so_and_said() -> None:
    names, notes = read_names(packed("käse/1.png", encoding="cp850"))
    assert names == ["käse/1.png"]
    assert notes == ("names are taken as code page 437, as in 'käse/1.png'",)


def test_a_short_name_may_be_half_of_accents_beside_others() -> None:
    names, _ = read_names(packed("Ärger/1.png", "Öl/1.png", encoding="cp437"))
    assert names == ["Ärger/1.png", "Öl/1.png"]


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("кошка/1.png", "cp866"),
        ("КОШКА/1.png", "cp866"),  # whose letters are Latin ones with accents in code page 437
        ("猫咪/1.png", "gbk"),
        ("ネコ/1.png", "cp932"),
        ("käse/1.png", "cp1252"),
    ],
)
def test_other_encodings_are_asked_for_and_not_guessed(name: str, encoding: str) -> None:
    with pytest.raises(DataError) as caught:
        read_names(packed(name, encoding=encoding))
    assert f"{name!r} as {encoding}" in caught.value.message and "in UTF-8" in caught.value.message


def test_accents_are_composed_and_plain_names_are_not_talked_about() -> None:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("cafe\u0301/1.png", b"")
    _, notes = read_names(zipfile.ZipFile(buffer))
    assert notes == ("accents are composed (NFC) in the names of 1 files, as in 'caf\u00e9/1.png'",)
    assert read_names(packed("cat/1.png", encoding="ascii"))[1] == ()
