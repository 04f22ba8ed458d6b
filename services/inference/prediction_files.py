"""Predictions for other programs: as CSV, as JSON lines or as one JSON list, written as they come."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TextIO, TypeAlias

from convscout.search_space.errors import ConfigError, Problem
from convscout.services.inference.predict import Prediction

Writer: TypeAlias = Callable[[Iterable[Prediction], TextIO, int], None]
"""Writes predictions of so many classes each to a file."""


def write_csv(predictions: Iterable[Prediction], file: TextIO, top: int) -> None:
    """A row an image: path, the ``top`` classes each with its probability, and why there are none.

    Text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    guesses = [("class", "probability"), *((f"class_{n}", f"probability_{n}") for n in range(2, top + 1))]
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["path", *(name for pair in guesses for name in pair), "reason"])
    for each in predictions:
        cells = [cell for guess in each.top for cell in (inert(guess.class_name), f"{guess.probability:.6g}")]
        rows.writerow([inert(shown(each.path)), *cells, *[""] * (2 * top - len(cells)), inert(each.reason)])


def write_json_lines(predictions: Iterable[Prediction], file: TextIO, top: int) -> None:
    """A JSON object an image, each on its line."""
    for each in predictions:
        file.write(_json(each) + "\n")


def write_json(predictions: Iterable[Prediction], file: TextIO, top: int) -> None:
    """One JSON list with an object an image."""
    before = "[\n"
    for each in predictions:
        file.write(f"{before}  {_json(each)}")
        before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")


_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell of a formula begins with
_WRITERS: Mapping[str, Writer] = {".csv": write_csv, ".jsonl": write_json_lines}


def writer_for(path: Path) -> Writer:
    """What writes the kind of file that the suffix of ``path`` names. Raises ``ConfigError`` for any other."""
    if path.is_dir():
        raise ConfigError([Problem(field="output", value=str(path), rule="must be a file, not a directory")])
    if path.suffix.lower() not in _WRITERS:
        rule = f"must end in {' or '.join(_WRITERS)}, which says what is written"
        raise ConfigError([Problem(field="output", value=str(path), rule=rule)])
    return _WRITERS[path.suffix.lower()]


def inert(text: str) -> str:
    """``text`` as a spreadsheet shows it; numbers stay what they are."""
    if not text.startswith(_FORMULA) or re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
        return text
    return f"'{text}"


def shown(path: str) -> str:
    """``path`` as text that can be printed: bytes of a name that are no UTF-8 become question marks."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _json(prediction: Prediction) -> str:
    return json.dumps(prediction.to_dict() | {"path": shown(prediction.path)}, ensure_ascii=False)
