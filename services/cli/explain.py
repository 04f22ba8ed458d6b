"""Using what a study came to: explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convscout.search_space.errors import ConfigError, Problem
from convscout.services.cli import local
from convscout.services.cli.options import HomeOption, JsonOption, complete_list, complete_study
from convscout.services.config.home import Home
from convscout.services.plugins import methods as registry

PANEL = "Use the result"


def _methods(incomplete: str) -> list[str]:
    return complete_list(registry.names(), incomplete)


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("explain", rich_help_panel=PANEL)(explain)


def explain(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory that `export` wrote.")],
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE...", help="Images, directories of images, or globs.")
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the pictures go; an earlier explanation is replaced.")
    ] = Path("explanations"),
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="saliency, integrated-gradients, grad-cam, occlusion; all unless given.",
            autocompletion=_methods,
        ),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Class to explain; the answer unless given.")
    ] = None,
    members: Annotated[
        str,
        typer.Option(metavar="N", help="Members beside the ensemble, the weightiest first; or all, none."),
    ] = "3",
    filters: Annotated[bool, typer.Option("--filters", help="Draw the filters of first layers too.")] = False,
    units: Annotated[
        int, typer.Option(min=0, max=64, metavar="N", help="Units of last layers to show, with --data.")
    ] = 0,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Its validation images are those that excite --units.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Show the pictures in MLflow, with that study.",
            autocompletion=complete_study,
        ),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Draw what the ensemble and its members look at in images: PNG files, one a network and image.

    Of red pixels an answer gains, of blue ones it loses; bright ones count either way.

    Example: convscout explain runs/studies/quickstart/export photo.png --methods grad-cam,occlusion --members all
    """
    count = _count(members)
    _check_asked(images, filters, units, data)
    local.explain.explain(
        Home.at(home),
        directory,
        images or (),
        output=output,
        methods=methods.split(",") if methods else (),
        class_name=class_name,
        members=count,
        filters=filters,
        units=units,
        data=data,
        study=study,
        json=json,
    )


def _count(members: str) -> int | None:
    """How many members, None for all. Raises ``ConfigError``."""
    if members in ("all", "none"):
        return None if members == "all" else 0
    if not members.isdecimal():
        rule = "must be a whole number, all or none"
        raise ConfigError([Problem(field="members", value=members, rule=rule)])
    return int(members)


def _check_asked(images: list[str] | None, filters: bool, units: int, data: str | None) -> None:
    problems = []
    if not (images or filters or units):
        rule = "give images to explain, or --filters, or --units N with --data DATA"
        problems.append(Problem(field="IMAGE", value="none", rule=rule))
    if units and data is None:
        rule = "needs --data DATA, whose validation images are shown"
        problems.append(Problem(field="units", value=units, rule=rule))
    if problems:
        raise ConfigError(problems)
