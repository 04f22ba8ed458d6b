"""Checking a study, and mending it: check."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from services.cli.output import print_json, print_line
from services.home import Home

PANEL = "Look at studies"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("check", rich_help_panel=PANEL)(check)


def check(
    name: NameArgument,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is found.")] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Say whether a study is as it should be: its trials, checkpoints and their hashes, its export, MLflow.

    A line for each thing that is wrong, and exit code 1. Without --repair nothing is changed, and the study may run.

    Example: convscout check quickstart --repair
    """
    from services.check import check as find
    from services.display import display
    from services.repair import repair as mend

    at = Home.at(home, storage)
    mended = []
    if repair:
        with display(quiet=json) as listener:
            mended = mend(at, name, listener)
    found = find(at, name)
    if json:
        parts = {
            "findings": [each.to_dict() for each in found],
            "mended": [each.to_dict() for each in mended],
        }
        print_json({"study": name, **parts})
    else:
        for each in mended:
            print_line(f"mended: {each.where}: {each.what}")
        for each in found:
            print_line(str(each))
        if not found:
            print_line(f"study {name} is as it should be")
        elif not repair and any(each.remedy for each in found):
            print_line(f"mend it: convscout check {name} --repair")
    if found:
        raise typer.Exit(1)
