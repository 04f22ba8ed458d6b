"""How often a test that draws its faults at random draws them."""

from __future__ import annotations

import os


def repetitions(few: int, many: int) -> int:
    """``few``, or ``many`` with ``make soak``, which takes hours."""
    return many if os.environ.get("CONVSCOUT_SOAK") else few
