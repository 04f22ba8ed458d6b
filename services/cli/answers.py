"""Arguments and options of `predict`: which model answers about which images, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Model: TypeAlias = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Directory that `export` wrote; with --server the name of a study."),
]
Paths: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="PATH...", help="Images, directories of images, or globs.")
]
Top: TypeAlias = Annotated[
    int, typer.Option("--top", min=1, metavar="K", help="Classes to show of each image.")
]
CsvOption: TypeAlias = Annotated[bool, typer.Option("--csv", help="Print CSV and nothing else.")]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write FILE.csv, or FILE.jsonl with a JSON object a line."),
]
