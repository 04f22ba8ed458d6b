"""Names of new studies that were given none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any


def named(settings: Mapping[str, Any], taken: Callable[[], Iterable[str]]) -> dict[str, Any]:
    """``settings`` with a name made from the data that is not ``taken``, where none was given."""
    if "name" in settings or not isinstance(settings.get("data"), str):
        return dict(settings)
    stem = PurePath(settings["data"]).stem.rpartition(":")[2]
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:56] or "study"
    known = set(taken())
    names = (base, *(f"{base}-{number}" for number in range(2, len(known) + 3)))
    return {**settings, "name": next(name for name in names if name not in known)}
