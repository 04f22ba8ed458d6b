"""Datasets of a service: datasets, datasets upload, datasets check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convscout.search_space.errors import DataError
from convscout.services.cli.data_report import DataArgument, SheetOption, print_report
from convscout.services.cli.options import JsonOption
from convscout.services.cli.output import print_json, print_line, print_table
from convscout.services.cli.remote.progress import progress, working
from convscout.services.config.names import make_name
from convscout.services.system.files import writing_bytes

if TYPE_CHECKING:
    from convscout.services.client import Client

UploadPath = Annotated[
    Path, typer.Argument(metavar="PATH", help="A zip file of image folders, or an npz file.")
]
UploadName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="What to call it; as the file unless given.")
]


def datasets(client: Client, context: typer.Context, json: JsonOption = False) -> None:
    """List the datasets there."""
    if context.invoked_subcommand is not None:
        return
    found = client.datasets()
    if json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    rows = [
        [each.data, each.kind, "" if each.num_images is None else f"{each.num_images:,}", each.about]
        for each in found
    ]
    print_table(["--data", "kind", "images", "about"], rows, right=("images",))


def upload(client: Client, path: UploadPath, name: UploadName = None, json: JsonOption = False) -> None:
    """Bring a dataset there."""
    if not path.is_file():
        raise DataError(
            f"{path} is no file; pack image folders first: python -m zipfile -c flowers.zip flowers"
        )
    with progress(f"uploading {path.name}", quiet=json) as told:
        made = client.upload(path, name or make_name(path.stem, "dataset"), told)
    if json:
        print_json(made.model_dump(mode="json"))
        return
    print_line(f"{made.name}: {made.about}")
    for note in made.notes:
        print_line(f"note: {note}")
    for skipped in made.skipped:
        print_line(f"left out: {skipped.path} {skipped.reason}")
    print_line(f"search it: convscout search --data {made.data} --time 10m --server {client.url}")


def check(client: Client, data: DataArgument, sheet: SheetOption = None, json: JsonOption = False) -> None:
    """Say what the images of a dataset there are; fetch its contact sheet where one is wanted."""
    name = next((each.name for each in client.datasets() if each.data == data), data)
    with working(f"checking {data}", quiet=json):
        report = client.check_dataset(name)
        if sheet is not None:
            picture = client.preview_dataset(name)
            with writing_bytes(sheet) as file:
                file.write(picture)
    print_report(report, sheet, json=json)
