"""Names: what a new study or dataset may be called.

One rule, the strictest of all that meet a name: MLflow (a logged model's name has no dot, and an experiment "Default"
is there already), addresses, the command line (a dash begins an option), and files on Linux, macOS and Windows (where
some names are devices, a dot or a space at the end is lost, and case makes no difference).
"""

from __future__ import annotations

import re

from convscout.search_space.errors import ConfigError, Problem

NAME = "[A-Za-z0-9_][A-Za-z0-9_-]{0,63}"
NAME_RULE = (
    "must be 1 to 64 letters (A to Z, a to z), digits, dashes or underscores, and not begin with a dash"
)
EARLIER_NAME = "[A-Za-z0-9._-]{1,64}"  # what earlier versions allowed, and what there may be
_LONGEST = 64
_DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(10)),
}
_RESERVED = {"default": "the name of an experiment of MLflow's own"} | dict.fromkeys(
    _DEVICES, "the name of a device on Windows"
)


def find_name_problem(name: object) -> str:
    """The rule that ``name`` breaks as the name of something new, with a legal one; empty where it breaks none."""
    text = name if isinstance(name, str) else ""
    if not re.fullmatch(NAME, text):
        return f"{NAME_RULE}, such as {make_name(text, 'study')!r}"
    if why := _RESERVED.get(text.casefold()):
        return f"must be another, such as {make_name(text, 'study')!r}: it is {why}"
    return ""


def refuse_new_study_name(name: str) -> None:
    """Raise ``ConfigError`` where no new study can be called ``name``."""
    if rule := find_name_problem(name):
        raise ConfigError([Problem(field="study.name", value=name, rule=rule)])


def is_known_form(name: object) -> bool:
    """Whether something that exists may be called ``name``, as this or an earlier version allowed it."""
    return isinstance(name, str) and re.fullmatch(EARLIER_NAME, name) is not None and name not in (".", "..")


def make_name(text: str, otherwise: str) -> str:
    """The legal name that is nearest to ``text``; ``otherwise`` where nothing of it can be used."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:_LONGEST].rstrip("-") or otherwise
    return f"{name}-1" if name.casefold() in _RESERVED else name
