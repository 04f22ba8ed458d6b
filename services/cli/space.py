"""Looking at the design space: space."""

from __future__ import annotations

from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.options import JsonOption

PANEL = "Look at what there is"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("space", rich_help_panel=PANEL)(space)


def space(
    family: Annotated[
        list[str] | None, typer.Argument(metavar="[FAMILY]...", help="Only these families.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List every knob of the search with its default and range, and say how many candidates there are.

    A configuration file can narrow the knobs.

    Example: convscout space resnet
    """
    local.space.space(family or (), json=json)
