"""``python -m convscout``: the console script."""

from __future__ import annotations

from convscout.services.cli import run

run()
