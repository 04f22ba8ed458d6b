"""What `datasets check` has found, as a person or a script reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from convscout.services.cli.output import print_json, print_line, print_table

DataArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="DATA", help="A dataset, folder:PATH or npz:FILE.")
]
SheetOption: TypeAlias = Annotated[
    Path | None, typer.Option("--sheet", metavar="FILE", help="Where the contact sheet goes.")
]


def print_report(report: Mapping[str, Any], sheet: Path | None, *, json: bool) -> None:
    """Print a ``DataReport`` of ``trials/data/data_check.py`` as plain JSON types, and where its ``sheet`` lies."""
    if json:
        print_json({**report, **({"contact_sheet": str(sheet)} if sheet else {})})
        return
    _print_counts(report)
    for pair, duplicates in report["shared"].items():
        print_line(f"in both {pair}: {_count(duplicates)}")
    print_line(f"same pixels, different classes: {_count(report['conflicting'])}")
    print_line(f"bad files: {len(report['bad_files'])}")
    for bad in report["bad_files"]:
        print_line(f"  {bad['path']}: {bad['reason']}")
    for note in report["notes"]:
        print_line(f"note: {note}")
    if sheet:
        print_line(f"contact sheet: {sheet}")


def _print_counts(report: Mapping[str, Any]) -> None:
    sizes = ", ".join(f"{count:,} {split}" for split, count in report["sizes"].items())
    side, channels = report["image_size"], report["channels"]
    print_line(f"{report['name']}: {sizes}; {side}×{side}, {channels} channel(s)")
    print_line(f"fingerprint: {report['fingerprint']}")
    counts = report["class_counts"]
    splits = list(counts)
    rows = [[name, *(f"{counts[split][name]:,}" for split in splits)] for name in counts[splits[0]]]
    print_table(["class", *splits], rows, right=splits)
    balance = report["balance"]
    print_line(f"balance: {balance:.2f} (smallest class over largest; 1 when all are as large)")


def _count(duplicates: Mapping[str, Any]) -> str:
    examples = "; ".join(
        " = ".join(f"{place['split']}[{place['index']}] {place['class_name']}" for place in group)
        for group in duplicates["examples"][:2]
    )
    return f"{duplicates['num_images']} image(s)" + (f", e.g. {examples}" if examples else "")
