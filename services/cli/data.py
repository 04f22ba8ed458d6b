"""Looking at data before a search spends time on it: datasets, datasets upload, datasets check."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from search_space.errors import ConfigError, Problem
from services.cli.data_report import DataArgument, SheetOption, print_report
from services.cli.options import HomeOption, JsonOption
from services.cli.output import print_json, print_table
from services.cli.remote import data as remote
from services.cli.remote.data import UploadName, UploadPath
from services.cli.remote.routing import served_by
from services.documentation import summary_of
from services.home import Home

PANEL = "Look at what there is"
group = typer.Typer(pretty_exceptions_enable=False)


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.add_typer(group, name="datasets", rich_help_panel=PANEL)


@group.callback(invoke_without_command=True)
@served_by(remote.datasets)
def datasets(context: typer.Context, json: JsonOption = False) -> None:
    """List the datasets there are, or check one.

    Example: convscout datasets check folder:flowers
    """
    if context.invoked_subcommand is not None:
        return
    from trials.sources import sources

    found = [
        (name, f"{name}:{source.location}" if source.location else name) for name, source in sources.items()
    ]
    about = {name: summary_of(source).partition(": ")[2] for name, source in sources.items()}
    if json:
        print_json([{"name": name, "spelled": spelled, "about": about[name]} for name, spelled in found])
    else:
        print_table(["--data", "about"], [[spelled, about[name]] for name, spelled in found])


@group.command("upload")
@served_by(remote.upload)
def upload(path: UploadPath, name: UploadName = None, json: JsonOption = False) -> None:
    """Bring a zip of image folders, or an npz file, to a service; all of it is looked at when it comes.

    Example: convscout datasets upload flowers.zip --name flowers --server http://127.0.0.1:8765
    """
    rule = (
        "needs a service to bring it to: give --server URL; a search on this machine reads --data folder:PATH"
    )
    raise ConfigError([Problem(field="server", value=None, rule=rule)])


@group.command("check")
@served_by(remote.check)
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
    from services.display import display
    from services.runner import load_images
    from trials.contact_sheet import contact_sheet
    from trials.data_check import check as check_splits

    at = Home.at(home)
    settings = {"data_dir": data_dir, "image_size": image_size, "max_bad_images": max_bad_images}
    with display(quiet=json) as listener:
        splits = load_images(data, at, listener, **settings)
    picture = (sheet or at.root / f"{_file_name(splits.name)}-contact-sheet.png").absolute()
    contact_sheet(splits, picture)
    print_report(check_splits(splits).to_dict(), picture, json=json)


def _file_name(data: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", data.replace(":", "/").rpartition("/")[2]) or "data"
