"""Evaluating: what an exported ensemble is worth on labelled images of any source."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convscout.search_space.errors import DataError, list_names
from convscout.services.evaluation.comparison import Judgement
from convscout.services.evaluation.figures import write_evaluation
from convscout.services.evaluation.score_rows import ENSEMBLE
from convscout.services.evaluation.scores import Evaluation
from convscout.services.export.onnx_model import ExportedModel
from convscout.services.inference.images import fit
from convscout.services.inference.labelled_data import LabelledData
from convscout.services.inference.predict import answers
from convscout.trials.data.mapped_images import blocks
from convscout.trials.data.splits import LabelledImages, Labels, Pixels

_BATCH = 1024
_NAMED = 20  # classes in an error


def evaluate_model(model: ExportedModel, data: LabelledData, directory: Path | None = None) -> Evaluation:
    """What an exported ensemble is worth on labelled ``data``, whose images are brought to its size and colours.

    With a ``directory``, figures and pictures are written there. Raises ``DataError`` where classes are others than
    it knows, and ``UserError`` as ``write_evaluation`` does.
    """
    labels = _labels(model, data)

    def fitting(block: Pixels) -> Pixels:
        return fit(block, model.image_size, model.in_channels)

    said = np.concatenate(
        [answers(model, fitting(block), batch_size=_BATCH) for block in blocks(data.images.images)]
    )
    found = Evaluation.of(said, labels, model.class_names)
    if directory:
        judged = LabelledImages(images=data.images.images, labels=labels)
        judgement = Judgement(images=judged, answers={ENSEMBLE: said}, evaluations={ENSEMBLE: found})
        write_evaluation(judgement, model.class_names, f"{data.name}, {data.split} images", directory)
    return found


def _labels(model: ExportedModel, data: LabelledData) -> Labels:
    """Those of ``data`` as ``model`` counts classes."""
    strange = [name for name in data.class_names if name not in model.class_names]
    if strange:
        more = f" and {len(strange) - 1} more" if strange[1:] else ""
        raise DataError(
            f"{data.name} has the class {strange[0]!r}{more}, which this ensemble does not know; it knows "
            f"{list_names(model.class_names, _NAMED)}. Name classes as it does: folders by their names, an npz file by "
            "class_names"
        )
    order = np.array([model.class_names.index(name) for name in data.class_names], dtype=np.int64)
    return order[data.images.labels]
