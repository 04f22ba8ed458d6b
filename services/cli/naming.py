"""Names of new studies that were given none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from convscout.services.config.names import make_name

_LONGEST_STEM = 56  # characters, so that a number has room behind it


def name_fields(settings: Mapping[str, Any], taken: Callable[[], Iterable[str]]) -> dict[str, Any]:
    """``settings`` with a name made from the data that is not ``taken``, where none was given."""
    if "name" in settings or not isinstance(settings.get("data"), str):
        return dict(settings)
    stem = PurePath(settings["data"]).stem.rpartition(":")[2]
    base = make_name(stem, "study")[:_LONGEST_STEM].rstrip("-")
    known = {name.casefold() for name in taken()}
    names = (base, *(f"{base}-{number}" for number in range(2, len(known) + 3)))
    return {**settings, "name": next(name for name in names if name.casefold() not in known)}
