"""Looking at the architecture families: families, families show."""

from __future__ import annotations

from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.options import JsonOption
from convscout.services.cli.overrides import SetOption
from convscout.services.cli.space import PANEL

group = typer.Typer(pretty_exceptions_enable=False)


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.add_typer(group, name="families", rich_help_panel=PANEL)


@group.callback(invoke_without_command=True)
def families(context: typer.Context, json: JsonOption = False) -> None:
    """List the architecture families there are, or show one.

    Example: convscout families show resnet
    """
    if context.invoked_subcommand is None:
        local.families.families(json=json)


@group.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the family.")],
    variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="A published variant; else the default configuration.")
    ] = None,
    settings: SetOption = None,
    image_size: Annotated[int, typer.Option(min=1, metavar="N", help="Side of the images in pixels.")] = 32,
    channels: Annotated[int, typer.Option(min=1, metavar="N", help="Channels of the images.")] = 3,
    classes: Annotated[int, typer.Option(min=2, metavar="N", help="Classes to tell apart.")] = 10,
    json: JsonOption = False,
) -> None:
    """Show one family: a diagram of its network, its knobs, and what its published variants cost.

    Example: convscout families show resnet --variant resnet18 --image-size 224
    """
    local.families.show(
        name,
        variant=variant,
        settings=settings or (),
        image_size=image_size,
        channels=channels,
        classes=classes,
        json=json,
    )
