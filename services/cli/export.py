"""Using what a study came to: export, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from services.cli.output import print_json, print_line, print_table
from services.home import Home

PANEL = "Use the result"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("export", rich_help_panel=PANEL)(export)
    app.command("verify", rich_help_panel=PANEL)(verify)


def export(
    name: NameArgument,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Where to; the study's own directory unless given."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="bundle, onnx, standalone, pt2, docker; the first three unless given."
        ),
    ] = None,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Write the study's ensemble as one verified model: ONNX, weights, labels, hashes, README.

    Example: convscout export quickstart --to model --formats onnx,standalone,docker
    """
    from services import runner
    from services.display import display

    at = Home.at(home, storage)
    with display(quiet=json) as listener:
        directory = runner.export(at, name, to, listener, formats.split(",") if formats else ())
    if json:
        print_json({"study": name, "export": str(directory)})
    else:
        print_line(f"export: {directory}")
        print_line(f"predict: convscout predict {directory} IMAGE.png")


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
    from services.display import display
    from services.parity import NUM_IMAGES
    from services.predict import load_model
    from services.runner import load_images
    from services.verifying import verify_export

    images = None
    if data is not None:
        size = load_model(directory).image_size
        with display(quiet=json) as listener:
            splits = load_images(data, Home.at(home), listener, image_size=size)
        images = splits.validation.images[:NUM_IMAGES]
    found = verify_export(directory, images)
    if json:
        print_json(
            {"directory": str(directory), "formats": {name: each.to_dict() for name, each in found.items()}}
        )
        return
    rows = [
        [name, f"{each.num_images}", f"{each.max_difference:.1e}", f"{each.num_changed}"]
        for name, each in found.items()
    ]
    columns = ["format", "images", "largest difference", "other answers"]
    print_table(columns, rows, right=columns[1:])
    print_line(f"{directory} is as it was written")
