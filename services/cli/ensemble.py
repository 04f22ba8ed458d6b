"""Using what a study came to: ensemble."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.formats import choose_formats, complete_format
from convscout.services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from convscout.services.config.home import Home
from convscout.services.config.study_config import merge, strategies

PANEL = "Use the result"


class CostName(StrEnum):
    """What the front is drawn against."""

    PARAMS = "params"
    LATENCY = "latency"


def _strategies(incomplete: str) -> list[str]:
    return [name for name in strategies() if name.startswith(incomplete)]


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("ensemble", rich_help_panel=PANEL)(ensemble)


def ensemble(
    name: NameArgument,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="How members are selected; as the study says unless given.", autocompletion=_strategies
        ),
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="N", help="Most members.")] = None,
    max_params: Annotated[
        str | None, typer.Option(metavar="N", help="Of all members together: 300k, 1.5M.")
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option(metavar="BYTES", help="Of all members' weights: 5MB.")
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of all members for one image, on one core: 5ms.")
    ] = None,
    front: Annotated[
        bool, typer.Option("--front", help="Show the best ensemble at each cost, and draw it.")
    ] = False,
    cost: Annotated[CostName, typer.Option(help="What --front is drawn against.")] = CostName.PARAMS,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Export the ensemble there.")] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="To export; as `export` has them unless given.",
            autocompletion=complete_format,
        ),
    ] = None,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Select another ensemble from a study's trials, under other limits, without training. The study keeps its own.

    Example: convscout ensemble quickstart --max-params 300k --to small
    """
    at = Home.at(home, storage)
    changes = merge(
        {
            "ensemble_strategy": strategy,
            "ensemble_size": size,
            "ensemble_max_params": max_params,
            "ensemble_max_bytes": max_bytes,
            "ensemble_max_latency": max_latency,
        }
    )
    if front:
        local.ensemble.front(at.study(name), changes, cost=cost, json=json)
    else:
        local.ensemble.ensemble(at.study(name), changes, to=to, formats=choose_formats(formats), json=json)
