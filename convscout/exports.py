"""Exported ensembles from Python: predict, explain."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from convscout.listening import listening
from convscout.services.events.events import Listener
from convscout.services.explaining.explain import ExplainConfig, Written
from convscout.services.explaining.explain import explain as draw
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.inference.images import Pictures
from convscout.services.inference.predict import BATCH_SIZE, Prediction
from convscout.services.inference.predict import predict as predict_pictures


def predict(
    directory: str | PathLike[str], images: Pictures, *, top: int = 1, batch_size: int = BATCH_SIZE
) -> list[Prediction]:
    """What the exported ensemble in ``directory`` says of pictures: files, directories, globs, Pillow's images, arrays.

    ``convscout.services.inference.images`` says what is taken, and how it is read.
    """
    return predict_pictures(Path(directory), images, top=top, batch_size=batch_size)


def explain(
    directory: str | PathLike[str],
    images: Pictures,
    output: str | PathLike[str] = "explanations",
    *,
    listener: Listener | None = None,
    **wanted: Any,
) -> Written:
    """Draw what the exported ensemble in ``directory`` looks at in pictures, into ``output``.

    ``images`` are those that ``predict`` takes. ``wanted`` are the fields of
    ``convscout.services.explaining.explain.ExplainConfig``: ``methods=["grad-cam"]``, ``members=0``, ….
    """
    with listening(listener) as told:
        return draw(load_bundle(Path(directory)), images, ExplainConfig(**wanted), Path(output), told)
