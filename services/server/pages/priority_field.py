"""The priority of a study, as a form sends it."""

from __future__ import annotations

from convscout.search_space.errors import Problem
from convscout.services.control.plane import HIGHEST, LOWEST

PRIORITY = "priority"  # the field's name


def priority_problems(text: str) -> list[Problem]:
    """What is wrong with a priority that is written as ``text``."""
    if text.removeprefix("-").isdecimal() and LOWEST <= int(text) <= HIGHEST:
        return []
    rule = f"must be a whole number from {LOWEST} to {HIGHEST}"
    return [Problem(field=PRIORITY, value=text, rule=rule)]
