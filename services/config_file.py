"""The settings of a study as a TOML file: read, and written with their help."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from search_space.errors import UserError
from services.config import SETTINGS, StudyConfig


def load_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file by their paths (``budget.time``), not checked yet. Raises ``UserError``."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); --config must be a TOML file") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: must be UTF-8 text, but byte {error.start} is not; save it as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: is not valid TOML: {error}") from None
    values: dict[str, Any] = {}
    for section, content in document.items():
        if section == "space" or not isinstance(content, dict):
            values[section] = content
        else:
            values |= {f"{section}.{key}": value for key, value in content.items()}
    return values


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


def _toml(value: Any) -> str:
    """``value`` on one line of TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    text: str = tomlkit.item(value).as_string()
    return text
