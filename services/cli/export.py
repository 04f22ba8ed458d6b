"""Using what a study came to: export, verify."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.formats import ExportTo, Formats, Int8, chosen_formats
from services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from services.cli.output import print_json, print_line, print_table
from services.cli.remote import export as remote
from services.cli.remote.routing import served_by
from services.home import Home

PANEL = "Use the result"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("export", rich_help_panel=PANEL)(export)
    app.command("verify", rich_help_panel=PANEL)(verify)


@served_by(remote.export)
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
    from services import runner
    from services.display import display
    from services.exporting import recorded

    at = Home.at(home, storage)
    with display(quiet=json) as listener:
        directory = runner.export(at, name, to, listener, chosen_formats(formats, int8))
    told = recorded(directory)
    if json:
        print_json({"study": name, "export": str(directory), "formats": told})
    else:
        _print_formats(told)
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
    from services.runner import load_images
    from services.verifying import image_shape, verify_export

    images = None
    if data is not None:
        size, _, _ = image_shape(directory)
        with display(quiet=json) as listener:
            images = load_images(data, Home.at(home), listener, image_size=size).validation.images
    found = verify_export(directory, images)
    if json:
        print_json(
            {"directory": str(directory), "formats": {name: each.to_dict() for name, each in found.items()}}
        )
        return
    _print_formats({name: each.to_dict() for name, each in found.items()})
    print_line(f"{directory} is as it was written")


def _print_formats(told: Mapping[str, Mapping[str, Any]]) -> None:
    """A row for each format, of what ``parity.json`` says of it."""
    rows = [
        [name, f"{each['num_images']}", f"{each['max_difference']:.1e}", f"{each['num_changed']}"]
        for name, each in told.items()
        if "num_images" in each
    ]
    columns = ["format", "images", "largest difference", "other answers"]
    print_table(columns, rows, right=columns[1:])
    for name, each in told.items():
        if "size_ratio" in each:
            print_line(f"{name}: {_compared(each)}")


def _compared(told: Mapping[str, Any]) -> str:
    """What a quantised format gains and loses."""
    gains = f"{told['size_ratio']:.0%} of the size and {told['latency_ratio']:.0%} of the time of onnx"
    if "accuracy" not in told:
        return gains
    return (
        f"{gains}, {told['accuracy']:.4f} instead of {told['float32_accuracy']:.4f} right of "
        f"{told['num_judged']} validation images"
    )
