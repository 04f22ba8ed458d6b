"""Using what a study came to, on this machine: predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscout.services.cli.local.answers import Form, tell
from convscout.services.inference.images import pictures_of
from convscout.services.inference.predict import load_model, predictions


def predict(
    directory: Path,
    paths: Sequence[str],
    *,
    top: int,
    batch_size: int,
    json: bool,
    csv: bool,
    output: Path | None,
) -> None:
    """Tell the class of images, with probabilities."""
    form = Form(json=json, csv=csv, output=output)
    form.writer()  # so that what is wrong with it is told before anything is read
    model = load_model(directory)
    pictures = pictures_of(list(paths), model.white)
    top = min(top, len(model.class_names))
    answers = predictions(model, pictures, top=top, batch_size=batch_size)
    files = [Path(each.name) for each in pictures]
    tell(answers, files, form, top=top, class_names=model.class_names, many=batch_size)
