"""Looking at data before a search spends time on it: datasets, datasets upload, datasets check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convscout.search_space.errors import ConfigError, Problem
from convscout.services.cli import local
from convscout.services.cli.data_report import DataArgument, SheetOption
from convscout.services.cli.options import HomeOption, JsonOption
from convscout.services.cli.remote import data as remote
from convscout.services.cli.remote.data import UploadName, UploadPath
from convscout.services.cli.remote.dispatch import run_on_server
from convscout.services.config.home import Home

PANEL = "Look at what there is"
group = typer.Typer(pretty_exceptions_enable=False)


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.add_typer(group, name="datasets", rich_help_panel=PANEL)


@group.callback(invoke_without_command=True)
@run_on_server(remote.datasets)
def datasets(context: typer.Context, json: JsonOption = False) -> None:
    """List the datasets there are, or check one.

    Example: convscout datasets check folder:flowers
    """
    if context.invoked_subcommand is None:
        local.data.datasets(json=json)


@group.command("upload")
@run_on_server(remote.upload)
def upload(path: UploadPath, name: UploadName = None, json: JsonOption = False) -> None:
    """Bring a zip of image folders, or an npz file, to a service; all of it is looked at when it comes.

    Example: convscout datasets upload flowers.zip --name flowers --server http://127.0.0.1:8765
    """
    rule = (
        "needs a service to bring it to: give --server URL; a search on this machine reads --data folder:PATH"
    )
    raise ConfigError([Problem(field="server", value=None, rule=rule)])


@group.command("check")
@run_on_server(remote.check)
def check(
    data: DataArgument,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where downloaded data lies or goes.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(metavar="N", help="Side in pixels to resize to.")] = None,
    max_bad_images: Annotated[
        float, typer.Option(metavar="SHARE", help="Of unreadable files to skip.")
    ] = 0.01,
    sheet: SheetOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say how many images there are of each class, which occur twice and which are bad; draw a contact sheet.

    Example: convscout datasets check digits --sheet digits.png
    """
    local.data.check(
        Home.at(home),
        data,
        data_dir=data_dir,
        image_size=image_size,
        max_bad_images=max_bad_images,
        sheet=sheet,
        json=json,
    )
