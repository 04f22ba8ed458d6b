"""The pages that are written from the code say what the code says, and examples of plug-ins do what they say."""

from __future__ import annotations

import re
import runpy
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from convscout.services.ensembles.library import EnsembleLimits, Library, Member
from convscout.services.plugins import selectors
from convscout.services.pruners.curves import Curve, Curves
from tests.support.data_layouts import table
from tests.support.places import ROOT

DOCS = ROOT / "docs"


def test_the_page_of_knobs_is_up_to_date() -> None:
    generator = runpy.run_path(str(DOCS / "knobs.py"))
    assert (DOCS / "knobs.md").read_text(encoding="utf-8") == generator["page"](), "run `make docs`"


def test_the_page_of_images_has_what_the_tests_go_through() -> None:
    page = (DOCS / "data.md").read_text(encoding="utf-8")
    (rows,) = re.findall(r"^\|---\|---\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert rows == table(), "put what table() of tests/support/data_layouts.py gives into docs/data.md"


@pytest.fixture(scope="module")
def examples() -> Mapping[str, Any]:
    """What the programs on the page of the architecture define; their selector is known to this block alone."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    found: dict[str, Any] = {}
    assert selectors.names() and len(programs) == 2
    with patch.dict(selectors._entries):
        for program in programs:
            exec(program, found)
        assert selectors.get("best-two") is found["best_two"]
    return found


def test_the_pruner_on_the_page_stops_the_last_third(examples: Mapping[str, Any]) -> None:
    heights = (0.9, 0.8, 0.7, 0.2)
    curves = [
        Curve(number=number, family="lenet", epochs=4, values=(height,) * 2)
        for number, height in enumerate(heights)
    ]
    rivals = Curves(curves).rivals
    stopped = [examples["LastThird"]().stops(curve, rivals(curve.number)) for curve in curves]
    assert stopped == [False, False, False, True]


def test_the_selector_on_the_page_takes_two(examples: Mapping[str, Any]) -> None:
    labels = np.arange(12) % 3
    answers = np.eye(3, dtype=np.float32)[labels] * 0.8 + 0.1
    candidates = [
        Member(number=number, probabilities=answers / answers.sum(axis=1, keepdims=True))
        for number in range(3)
    ]
    library = Library.of(candidates, labels, EnsembleLimits(size=2), "accuracy")
    assert examples["best_two"](library) == {0: 0.5, 1: 0.5}
