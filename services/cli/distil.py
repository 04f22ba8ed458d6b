"""Using what a study came to: distil."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption, parsed
from convscout.services.config.home import Home
from convscout.services.config.setting_types import Duration, Whole

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
    local.distil.distil(
        Home.at(home, storage).study(name),
        family=student,
        params=wanted_params,
        epochs=wanted_epochs,
        seeds=wanted_seeds,
        twins=twins,
        time_s=time_s,
        formats=formats.split(",") if formats else (),
        to=to,
        json=json,
    )
