"""Checking a study, and mending it: check."""

from __future__ import annotations

from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from convscout.services.config.home import Home

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
    if not local.checking.check(Home.at(home, storage).study(name), repair=repair, json=json):
        raise typer.Exit(1)
