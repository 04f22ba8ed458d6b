"""Using what a study came to: export, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.formats import ExportTo, Formats, Int8, choose_formats
from convscout.services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from convscout.services.cli.remote import export as remote
from convscout.services.cli.remote.dispatch import run_on_server
from convscout.services.config.home import Home

PANEL = "Use the result"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("export", rich_help_panel=PANEL)(export)
    app.command("verify", rich_help_panel=PANEL)(verify)


@run_on_server(remote.export)
def export(
    name: NameArgument,
    to: ExportTo = None,
    formats: Formats = None,
    int8: Int8 = False,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Write the study's ensemble as one verified model: ONNX, weights, labels, hashes, README.

    Example: convscout export quickstart --to model --formats onnx,standalone,docker
    """
    chosen = choose_formats(formats, int8)
    local.export.export(Home.at(home, storage).study(name), to=to, formats=chosen, json=json)


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory that `export` wrote.")],
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DATA", help="Ask about these images; about noise unless given."),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Check an export: every file's hash, and that all its formats answer alike, each read in a fresh process.

    Example: convscout verify model --data digits
    """
    local.export.verify(directory, data=data, home=home, json=json)
