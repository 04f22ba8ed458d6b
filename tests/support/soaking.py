"""How often a test that draws its faults at random draws them."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")


def repetitions(few: T, many: T) -> T:
    """``few``, or ``many`` with ``make soak``, which takes hours: how often, or the cases."""
    return many if os.environ.get("CONVSCOUT_SOAK") else few
