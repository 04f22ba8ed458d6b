"""Using what a study came to: evaluate."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.options import HomeOption, JsonOption
from convscout.services.config.home import Home

PANEL = "Use the result"


class Split(StrEnum):
    """Which of the images."""

    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"
    ALL = "all"


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("evaluate", rich_help_panel=PANEL)(evaluate)


def evaluate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory that `export` wrote.")],
    data: Annotated[
        str, typer.Option("--data", metavar="DATA", help="A dataset, a directory or an npz file.")
    ],
    split: Annotated[
        Split, typer.Option(help="Which of its images; all of those that are too few to be split.")
    ] = Split.TEST,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where downloaded data lies or goes.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the figures and pictures of them there.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Judge an exported ensemble on labelled images: accuracy, calibration, and class by class.

    Example: convscout evaluate runs/studies/quickstart/export --data new-pictures --split all --output judged
    """
    at = Home.at(home)
    local.evaluate.evaluate(
        at, directory, data=data, split=split, data_dir=data_dir, output=output, json=json
    )
