"""Using what a study came to, on this machine: export, verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convscout.services.cli.display import display
from convscout.services.cli.output import predict_hint, print_json, print_line, print_table
from convscout.services.config.home import Home
from convscout.services.config.study_ref import StudyRef
from convscout.services.export.verify import image_shape, verify_export
from convscout.services.export.writer import recorded
from convscout.services.studies import results
from convscout.services.studies.session import load_images
from convscout.trials.data.mapped_images import Images


def export(ref: StudyRef, *, to: Path | None, formats: Sequence[str], json: bool) -> None:
    """Write the study's ensemble to ``to``, to the study's own directory where that is None."""
    with display(quiet=json) as listener:
        directory = results.export(ref, to, listener, formats)
    told = recorded(directory)
    if json:
        print_json({"study": ref.name, "export": str(directory), "formats": told})
    else:
        _print_formats(told)
        print_line(f"export: {directory}")
        print_line(predict_hint(directory))


def verify(directory: Path, *, data: str | None, home: Path | None, json: bool) -> None:
    """Check the files of an export, and that its formats answer alike about ``data``, or about noise."""
    images = None if data is None else _validation_images(directory, data, Home.at(home), quiet=json)
    found = {name: each.to_dict() for name, each in verify_export(directory, images).items()}
    if json:
        print_json({"directory": str(directory), "formats": found})
        return
    _print_formats(found)
    print_line(f"{directory} is as it was written")


def _validation_images(directory: Path, data: str, home: Home, *, quiet: bool) -> Images:
    size, _, _ = image_shape(directory)
    with display(quiet=quiet) as listener:
        return load_images(data, home, listener, image_size=size).validation.images


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
            print_line(f"{name}: {_compare(each)}")


def _compare(told: Mapping[str, Any]) -> str:
    """What a quantised format gains and loses."""
    gains = f"{told['size_ratio']:.0%} of the size and {told['latency_ratio']:.0%} of the time of onnx"
    if "accuracy" not in told:
        return gains
    return (
        f"{gains}, {told['accuracy']:.4f} instead of {told['float32_accuracy']:.4f} right of "
        f"{told['num_judged']} validation images"
    )
