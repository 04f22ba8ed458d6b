"""Looking at studies: plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search_space.errors import UserError
from services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from services.cli.output import print_json, print_line
from services.home import Home

PANEL = "Look at studies"


def _kinds(incomplete: str) -> list[str]:
    from services.plotting.registry import study_plots

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
    from services.plotting.writing import write_plots, write_table
    from services.study import Ledger

    at = Home.at(home, storage)
    records, target = Ledger.open(at, name).trials(), (output or at.study(name) / "plots").absolute()
    try:
        written = write_plots(name, records, target, kind or ())
        if not kind:
            written.append(write_table(records, target))
    except OSError as error:
        raise UserError(
            f"--output: {target} cannot be written ({error.strerror}); choose another one"
        ) from None
    if json:
        print_json({"study": name, "files": [str(path) for path in written]})
        return
    for path in written:
        print_line(str(path))
    if not written:
        print_line(f"study {name} has too few trials for that yet")
