"""Using what a study came to, on this machine: evaluate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from convscout.search_space.errors import IndivisibleError
from convscout.services.cli.display import display
from convscout.services.cli.output import print_json, print_line, print_table
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.evaluation.scores import Evaluation
from convscout.services.events.events import Listener, Notice
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.inference.evaluate import evaluate_model
from convscout.services.inference.labelled_data import LabelledData, name_source, read_undivided
from convscout.services.inference.predict import load_model
from convscout.services.studies.session import load_images


def evaluate(
    home: Home,
    directory: Path,
    *,
    data: str,
    split: str,
    data_dir: Path | None,
    output: Path | None,
    json: bool,
) -> None:
    """Judge an exported ensemble on a ``split`` of ``data``, or on ``all`` of it."""
    model = load_model(directory)
    with display(quiet=json) as listener:
        labelled = _load(model, name_source(data), split, home, listener, data_dir)
        found = evaluate_model(model, labelled, output)
    seen = labelled.split != "test" and labelled.fingerprint == model.fingerprint
    skipped = [f"{bad.path} {bad.reason}" for bad in labelled.skipped]
    if json:
        told = {"data": data, "split": labelled.split, "seen_in_training": seen, "skipped": skipped}
        print_json({**told, **found.to_dict()})
        return
    _tell(found)
    if skipped:
        print_line(f"left out, as they cannot be read: {len(skipped):,} files, such as {skipped[0]}")
    if seen:
        print_line("the ensemble was made from images that are among these, so this says little of others")
    if output:
        print_line(f"written: {output}")


def _load(
    model: ExportedModel, data: str, split: str, home: Home, listener: Listener, data_dir: Path | None
) -> LabelledData:
    """A ``split`` of ``data``; all of what is too few to be split, which the ``listener`` is told."""
    try:
        splits = load_images(
            data, home, listener, white=model.white, data_dir=data_dir, image_size=model.image_size
        )
    except IndivisibleError as error:
        config = StudyConfig.from_options({"name": "images", "data": data, "data_dir": data_dir})
        request = replace(config.data_request(home), white=model.white)
        found = read_undivided(request, split, model.image_size, model.in_channels)
        if found.split != split:
            listener(Notice(text=f"all {len(found.images):,} images are judged, not split: {error.message}"))
        return found
    return LabelledData.of(splits, split)


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
