"""The settings of a study as a TOML file: read, and written with their help."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from convscout.search_space.errors import UserError
from convscout.services.config.study_config import SETTINGS, StudyConfig

MOST_BYTES = 64 * 1024  # ten times what ``to_toml`` writes
_MOST_SETTINGS = 1000
_DEEPEST = 16
# begun where a word begins, and never given back: else a word of 64 KiB would be looked at from each of its letters
_PART = r"""(?:(?<![\w-])[\w-]++|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART}){{{_DEEPEST}}}")
_BRACKET = re.compile(r"[][{}]")


def load_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file by their paths (``budget.time``), not checked yet. Raises ``UserError``."""
    try:
        document = parse_toml(_read(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); --config must be a TOML file") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: must be UTF-8 text, but byte {error.start} is not; save it as UTF-8"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: is not valid TOML: {error}") from None
    values: dict[str, Any] = {}
    for section, content in document.items():
        if section == "space" or not isinstance(content, dict):
            values[section] = content
        else:
            values |= {f"{section}.{key}": value for key, value in content.items()}
    return values


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of ``text``. Raises ``ValueError``, also for what would take the parser minutes or gigabytes."""
    if len(text) > MOST_BYTES:
        raise ValueError(f"it must have at most {MOST_BYTES // 1024} KiB")
    if _LONG_KEY.search(text):
        raise ValueError(f"a key must have at most {_DEEPEST} parts between dots")
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEEPEST:
            raise ValueError(f"brackets must lie at most {_DEEPEST} deep in each other")
    document = tomllib.loads(text)
    if (count := _count(document)) > _MOST_SETTINGS:
        raise ValueError(f"it must hold at most {_MOST_SETTINGS:,} settings, but holds {count:,}")
    return document


def to_toml(config: StudyConfig) -> str:
    """A file that ``load_toml`` reads back; every setting with its help, unset ones commented out."""
    lines: list[str] = []
    section = ""
    for name, each in SETTINGS.items():
        if each.section != section:
            section = each.section
            lines += ["", f"[{section}]"]
        if name == "space":
            lines += ['# knobs fixed or narrowed by full name, e.g. "resnet.width" = {low = 16, high = 32}']
            lines += [f"{_toml(knob)} = {_toml(override)}" for knob, override in config.space.items()]
            continue
        value = getattr(config, name)
        text = f"# {each.key} =" if value is None else f"{each.key} = {_toml(each.rule.spell(value))}"
        lines.append(f"{text:<31} # {each.help}")
    return "\n".join(lines[1:]) + "\n"


def _read(path: Path) -> str:
    if path.exists() and not path.is_file():  # a pipe could keep it waiting, and a device has no end
        raise UserError(f"{path}: is not a regular file; --config must be a TOML file")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    return content.decode("utf-8-sig")  # editors on Windows begin a file with a mark


def _count(value: Any) -> int:
    return sum(map(_count, value.values())) if isinstance(value, dict) else 1


def _toml(value: Any) -> str:
    """``value`` on one line of TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    text: str = tomlkit.item(value).as_string()
    return text
