"""Formats of exports, as commands name them."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from convscout.services.cli.options import complete_list
from convscout.services.export import formats as exporters

# a format is named as its file is; to import them all takes longer than to print the help
FORMATS = tuple(module.name for module in pkgutil.iter_modules(exporters.__path__))
DEFAULT_FORMATS = ("bundle", "onnx", "standalone")


def complete_format(incomplete: str) -> list[str]:
    """Formats that begin with what comes after the last comma, for the shell."""
    return complete_list(FORMATS, incomplete)


ExportTo: TypeAlias = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="Where to; the study's own directory unless given."),
]
Formats: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--formats",
        metavar="A,B",
        help=f"Of {', '.join(FORMATS)}; {', '.join(DEFAULT_FORMATS)} unless given.",
        autocompletion=complete_format,
    ),
]
Int8: TypeAlias = Annotated[
    bool, typer.Option("--int8", help="In 8-bit integers too; tells what that costs in accuracy.")
]


def choose_formats(formats: str | None, int8: bool = False) -> tuple[str, ...]:
    """Those that are named in ``formats``, and ``int8`` if it is wanted; the default ones where none is."""
    named = tuple(formats.split(",")) if formats else ()
    if int8 and "int8" not in named:
        return (*(named or DEFAULT_FORMATS), "int8")
    return named
