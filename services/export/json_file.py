"""JSON files of an export, which nobody may vouch for."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

MOST_BYTES = 16_000_000


def read_json(path: Path) -> Any:
    """What the file holds. Raises ``ValueError`` for one that is too long, too deep, no file or no JSON."""
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe could keep it waiting, and a device has no end
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES / 1e6:g} MB")
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
