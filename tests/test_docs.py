"""The pages that are written from the code say what the code says."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_of_knobs_is_up_to_date() -> None:
    generator = runpy.run_path(str(DOCS / "knobs.py"))
    assert (DOCS / "knobs.md").read_text(encoding="utf-8") == generator["page"](), "run `make docs`"
