"""Using what a study came to: evaluate."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import HomeOption, JsonOption
from services.cli.output import print_json, print_line, print_table
from services.home import Home

if TYPE_CHECKING:
    from services.evaluation import Evaluation

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
    data: Annotated[str, typer.Option("--data", metavar="DATA", help="A dataset, folder:PATH or npz:FILE.")],
    split: Annotated[Split, typer.Option(help="Which of its images.")] = Split.TEST,
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

    Example: convscout evaluate runs/studies/quickstart/export --data folder:new-pictures --split all --output judged
    """
    from services.display import display
    from services.evaluating import evaluate_model
    from services.predict import load_model
    from services.runner import load_images

    at, model = Home.at(home), load_model(directory)
    with display(quiet=json) as listener:
        splits = load_images(data, at, listener, data_dir=data_dir, image_size=model.image_size)
        found = evaluate_model(model, splits, split, output)
    seen = split is not Split.TEST and splits.fingerprint == model.fingerprint
    if json:
        print_json({"data": data, "split": split, "seen_in_training": seen, **found.to_dict()})
        return
    _tell(found)
    if seen:
        print_line("the ensemble was made from images that are among these, so this says little of others")
    if output:
        print_line(f"written: {output}")


def _tell(found: Evaluation) -> None:
    rows = [
        ["images", f"{found.images:,}"],
        ["accuracy", f"{found.accuracy:.2%} (95 %: {found.low:.2%} – {found.high:.2%})"],
        ["balanced accuracy", f"{found.balanced_accuracy:.2%}"],
        ["macro F1", f"{found.macro_f1:.2%}"],
        ["log loss", f"{found.nll:.4f}"],
        ["Brier score", f"{found.brier:.4f}"],
        ["calibration error", f"{found.calibration_error:.2%}"],
    ]
    print_table(["of all classes", ""], rows)
    print_line("")
    classes = [
        [each.name, f"{each.images:,}", _percent(each.recall), _percent(each.precision)]
        for each in found.classes
    ]
    print_table(["class", "images", "recall", "precision"], classes, right=("images", "recall", "precision"))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
