"""Looking at studies: plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from convscout.services.config.home import Home
from convscout.services.plugins import study_plots

PANEL = "Look at studies"


def _kinds(incomplete: str) -> list[str]:
    return [name for name in study_plots.names() if name.startswith(incomplete)]


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("plot", rich_help_panel=PANEL)(plot)


def plot(
    name: NameArgument,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Only this plot; may be repeated.", autocompletion=_kinds),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to; plots/ in the study's directory unless given."),
    ] = None,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Draw a study, finished or running, as PNG files, with a table of its trials: the plots that MLflow shows.

    Example: convscout plot quickstart --kind timeline --kind pareto-front
    """
    local.plots.plot(Home.at(home, storage).study(name), kind or (), output, json=json)
