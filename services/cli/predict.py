"""Using what a study came to: predict."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.answers import CsvOption, Form, Model, Output, Paths, Top, tell
from services.cli.options import JsonOption
from services.cli.remote import predict as remote
from services.cli.remote.routing import served_by

PANEL = "Use the result"


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("predict", rich_help_panel=PANEL)(predict)


@served_by(remote.predict)
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
    from services.predict import files_of, load_model, predictions

    form = Form(json=json, csv=csv, output=output)
    form.writer()  # so that what is wrong with it is told before anything is read
    model, files = load_model(directory), files_of(paths)
    top = min(top, len(model.class_names))
    answers = predictions(model, files, top=top, batch_size=batch_size)
    tell(answers, files, form, top=top, class_names=model.class_names, many=batch_size)
