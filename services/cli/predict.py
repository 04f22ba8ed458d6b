"""Using what a study came to: predict."""

from __future__ import annotations

from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.answers import CsvOption, Model, Output, Paths, Top
from convscout.services.cli.options import JsonOption
from convscout.services.cli.remote import predict as remote
from convscout.services.cli.remote.dispatch import run_on_server

PANEL = "Use the result"


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("predict", rich_help_panel=PANEL)(predict)


@run_on_server(remote.predict)
def predict(
    directory: Model,
    paths: Paths,
    top: Top = 1,
    batch_size: Annotated[
        int, typer.Option(min=1, max=4096, metavar="N", help="Images that are answered together.")
    ] = 64,
    json: JsonOption = False,
    csv: CsvOption = False,
    output: Output = None,
) -> None:
    """Tell the class of images, with probabilities.

    What cannot be read as an image is named with the reason, and the others are answered.

    Example: convscout predict runs/studies/quickstart/export photos --top 3 --output answers.csv
    """
    local.predict.predict(directory, paths, top=top, batch_size=batch_size, json=json, csv=csv, output=output)
