"""JSON files of an export, which nobody may vouch for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MOST_BYTES = 16_000_000


def read_json(path: Path) -> Any:
    """What the file holds. Raises ``ValueError`` for one that is too long, too deep or no JSON."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES / 1e6:g} MB")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
