"""Evaluating: what an exported ensemble is worth on labelled images of any source."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from search_space.errors import DataError
from services.evaluation import Evaluation
from services.exported_model import ExportedModel
from services.judging import ENSEMBLE, Judgement
from services.predict import answers
from services.report import write_evaluation
from trials.mapped_images import blocks
from trials.splits import DataSplits, LabelledImages

_BATCH = 1024


def evaluate_model(
    model: ExportedModel, data: DataSplits, split: str, directory: Path | None = None
) -> Evaluation:
    """What an exported ensemble is worth on a ``split`` of ``data``, or on ``all`` of it.

    With a ``directory``, figures and pictures are written there. Raises ``DataError`` where classes or colours are
    others than it knows, and ``UserError`` as ``write_evaluation`` does.
    """
    known = _known(model, data, _chosen(data, split))
    said = np.concatenate([answers(model, block, batch_size=_BATCH) for block in blocks(known.images)])
    found = Evaluation.of(said, known.labels, model.class_names)
    if directory:
        judgement = Judgement(images=known, answers={ENSEMBLE: said}, evaluations={ENSEMBLE: found})
        write_evaluation(judgement, model.class_names, f"{data.name}, {split} images", directory)
    return found


def _chosen(data: DataSplits, split: str) -> LabelledImages:
    parts = {"train": data.train, "validation": data.validation}
    if split in parts:
        return parts[split]
    test = data.open_test()
    if split == "test":
        return test
    return LabelledImages.joined([data.train, data.validation, test])


def _known(model: ExportedModel, data: DataSplits, images: LabelledImages) -> LabelledImages:
    """The same with labels as ``model`` counts classes."""
    strange = [name for name in data.class_names if name not in model.class_names]
    if strange:
        raise DataError(
            f"{data.name} has the class {strange[0]!r}{f' and {len(strange) - 1} more' if strange[1:] else ''}, which "
            f"this ensemble does not know; it knows {', '.join(model.class_names)}"
        )
    if data.image.in_channels != model.in_channels:
        kinds = {1: "grey", 3: "RGB"}
        raise DataError(
            f"{data.name} has {kinds[data.image.in_channels]} images, but this ensemble wants "
            f"{kinds[model.in_channels]} ones; convert them first"
        )
    order = np.array([model.class_names.index(name) for name in data.class_names], dtype=np.int64)
    return LabelledImages(images=images.images, labels=order[images.labels])
