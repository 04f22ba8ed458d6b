"""Using what a study came to: ensemble."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.formats import chosen_formats, complete_format
from services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from services.cli.output import print_json, print_line, print_table
from services.home import Home

if TYPE_CHECKING:
    from services.ensembles.ensemble import Ensemble
    from services.ensembles.front import EnsembleCost, FrontPoint

PANEL = "Use the result"


class CostName(StrEnum):
    """What the front is drawn against."""

    PARAMS = "params"
    LATENCY = "latency"


def _strategies(incomplete: str) -> list[str]:
    from services.ensembles.selection import strategies

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
    from services import runner
    from services.display import display

    at = Home.at(home, storage)
    changes = {
        "ensemble_strategy": strategy,
        "ensemble_size": size,
        "ensemble_max_params": max_params,
        "ensemble_max_bytes": max_bytes,
        "ensemble_max_latency": max_latency,
    }
    given = {field: value for field, value in changes.items() if value is not None}
    with display(quiet=json) as listener:
        if front:
            points, path, kind = runner.ensemble_front(at, name, given, cost, listener)
        else:
            found = runner.ensemble(at, name, given, to, listener, chosen_formats(formats))
    if front:
        _tell_front(name, points, path, kind, json)
        return
    if json:
        print_json({"study": name, "export": str(to) if to else None, **found.to_dict()})
        return
    _tell(found)
    if to:
        print_line(f"export: {to}")
        print_line(f"predict: convscout predict {to} IMAGE.png")
    else:
        print_line(f"export it: add --to DIR; see what is to be had: convscout ensemble {name} --front")


def _tell(found: Ensemble) -> None:
    rows = [[each.name, f"{each.weight:.0%}", f"{each.temperature:.2f}"] for each in found.members]
    print_table(["trial", "weight", "temperature"], rows, right=("weight", "temperature"))
    print_line(f"selected by {found.strategy}" + (f": {found.reason}" if found.reason else ""))
    print_line(
        f"validation accuracy {found.score.accuracy:.2%}, the best single network {found.single.accuracy:.2%}; "
        f"log loss {found.score.nll:.4f} and {found.single.nll:.4f}"
    )


def _tell_front(name: str, points: list[FrontPoint], path: Path, cost: EnsembleCost, json: bool) -> None:
    if json:
        told: list[dict[str, Any]] = [{"cost": each.cost, **each.ensemble.to_dict()} for each in points]
        print_json({"study": name, "cost": cost.label, "plot": str(path), "front": told})
        return
    rows = [
        [
            cost.text(each.cost),
            f"{each.ensemble.score.accuracy:.2%}",
            f"{each.ensemble.score.nll:.4f}",
            ", ".join(member.name for member in each.ensemble.members),
        ]
        for each in points
    ]
    columns = [cost.label, "validation accuracy", "log loss", "trials"]
    print_table(columns, rows, right=columns[:3])
    print_line(f"plot: {path}")
