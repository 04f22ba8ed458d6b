"""How commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table


def print_json(value: Any) -> None:
    """``value`` as JSON on stdout; what JSON has no number for (NaN, infinity) becomes null."""
    typer.echo(json.dumps(_finite(value), indent=2, allow_nan=False, ensure_ascii=False))


def predict_hint(export: Path) -> str:
    """The line that says what to type to ask the model in ``export``."""
    return f"predict: convscout predict {shlex.quote(str(export))} IMAGE.png"


UNCUT = 10_000  # columns of a table that nobody's window cuts


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Rows under headings; ``right`` names the columns of numbers. Off a terminal nothing is cut."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column == columns[0],  # a name that was folded could not be copied
        )
    for row in rows:
        table.add_row(*row)
    _console().print(table)


class Lines:
    """A table whose rows are printed as they come. ``columns`` holds headings, each with the texts that it must hold.

    Longer texts run on. The column ``right`` is one of numbers.
    """

    def __init__(self, columns: Mapping[str, Iterable[str]], *, right: str, file: TextIO) -> None:
        self._widths = [max([cell_len(heading), *map(cell_len, texts)]) for heading, texts in columns.items()]
        self._right = list(columns).index(right)
        self._file = file
        self.print(*columns)

    def print(self, *cells: str) -> None:
        """One row."""
        padded = []
        for place, (cell, width) in enumerate(zip(cells, self._widths, strict=True)):
            gap = " " * (width - cell_len(cell))
            padded.append(gap + cell if place == self._right else cell + gap)
        typer.echo("  ".join(padded).rstrip(), file=self._file)


def print_text(text: str) -> None:
    """Paragraphs on stdout, wrapped between words to the width of a terminal."""
    _console().print(text)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else UNCUT, markup=False, highlight=False)


def print_line(text: str) -> None:
    """A line on stdout."""
    typer.echo(text)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
