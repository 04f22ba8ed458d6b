"""Where the ensemble errs, from the report that was drawn when the test images were opened."""

from __future__ import annotations

import json
from typing import Any

from convscout.services.config.home import EVALUATION_FILE
from convscout.services.evaluation.figures import CONFUSION, MISTAKES, RELIABILITY
from convscout.services.report.document import Block, Picture, Section, Table, Text
from convscout.services.report.facts import StudyFacts

_PICTURES = {
    CONFUSION: "How often each class was taken for which on test images",
    MISTAKES: "Test images that the ensemble was surest of and wrong about",
    RELIABILITY: "How often answers are right against how sure they are, before and after calibration",
}


def mistakes(known: StudyFacts) -> Section | None:
    """Class by class, and the worst mistakes as pictures."""
    directory = known.ref.report
    file = directory / EVALUATION_FILE
    if known.outcome is None or not file.is_file():
        return None
    name, found = next(iter(json.loads(file.read_text(encoding="utf-8")).items()))
    columns = ["class", "images", "found (recall)", "right of those called so (precision)"]
    rows = [
        [each["name"], f"{each['images']:,}", _share(each["recall"]), _share(each["precision"])]
        for each in sorted(found["classes"], key=lambda each: each["recall"] or 0.0)
    ]
    blocks: list[Block] = [
        Text(f"The {name} on {found['images']:,} test images, the hardest class first."),
        Table(columns=columns, rows=rows, right=columns[1:]),
    ]
    blocks += [
        Picture(name=picture, png=(directory / picture).read_bytes(), says=says)
        for picture, says in _PICTURES.items()
        if (directory / picture).is_file()
    ]
    return Section("Where it errs", blocks)


def _share(value: Any) -> str:
    return "" if value is None else f"{value:.1%}"
