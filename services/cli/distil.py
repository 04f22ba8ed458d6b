"""Using what a study came to: distil."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption, parsed
from services.cli.output import print_json, print_line, print_table
from services.home import Home
from services.rules import Duration, Whole

if TYPE_CHECKING:
    from services.distilling import Distilled

PANEL = "Use the result"


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("distil", rich_help_panel=PANEL)(distil)


def distil(
    name: NameArgument,
    student: Annotated[
        str, typer.Option(metavar="FAMILY", help="Of which family, or auto: the best small trial.")
    ] = "auto",
    max_params: Annotated[
        str, typer.Option(metavar="N", help="Most parameters of the student: 300k, 1.5M.")
    ] = "300k",
    epochs: Annotated[
        str | None, typer.Option(metavar="N", help="Twice those of the study unless given.")
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N", help="Students to train; the best is exported.")] = "1",
    twins: Annotated[
        bool, typer.Option("--twins/--no-twins", help="Train each on the labels alone, too, to compare.")
    ] = True,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin no training that takes longer.")
    ] = None,
    formats: Annotated[
        str | None, typer.Option(metavar="A,B", help="Formats to export beside the default ones.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where to; into the study unless given.")
    ] = None,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Train one small network to answer as the ensemble does, for a phone or a browser, and say what that is worth.

    Example: convscout distil quickstart --max-params 50k --to small
    """
    wanted_params = parsed("max_params", Whole(1, 10**12), max_params)
    wanted_epochs = None if epochs is None else parsed("epochs", Whole(1, 100_000), epochs)
    wanted_seeds = parsed("seeds", Whole(1, 100), seeds)
    time_s = math.inf if time is None else parsed("time", Duration(1, 365 * 86_400), time)
    from services.display import display
    from services.distilling import Wanted
    from services.distilling import distil as distilled

    wanted = Wanted(
        family=student,
        params=wanted_params,
        epochs=wanted_epochs,
        seeds=wanted_seeds,
        twins=twins,
        time_s=time_s,
    )
    with display(quiet=json) as listener:
        found = distilled(
            Home.at(home, storage), name, wanted, listener, to, formats.split(",") if formats else ()
        )
    if json:
        print_json(found.to_dict())
    else:
        tell_distilled(found)


def tell_distilled(found: Distilled) -> None:
    """What a distillation came to, for a person."""
    from services.judging import gain_text

    like = "" if found.trial is None else f", as trial {found.trial}"
    print_line(f"student: {found.family}, {found.params:,} parameters, {found.epochs} epochs{like}")
    rows = [[row.name, *row.cells] for row in found.rows]
    columns = ["", "test accuracy", "95 % interval", "log loss", "ECE"]
    print_table(columns, rows, right=columns[1:])
    for gain in found.gains:
        print_line(f"the student against its twin: {gain_text(gain)}")
    print_line(f"export: {found.export}")
    print_line(f"predict: convscout predict {found.export} IMAGE.png")
