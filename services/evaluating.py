"""Evaluating: answers to labelled images become figures (JSON) and pictures (PNG) in one directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from search_space.errors import DataError, UserError
from services.directories import replacing
from services.evaluation import EVALUATION_FILE, Evaluation
from services.exported_model import ExportedModel
from services.plotting.answers import confusion, reliability, worst_mistakes
from services.predict import answers
from trials.mapped_images import blocks
from trials.metrics import Probabilities
from trials.splits import DataSplits, LabelledImages

CONFUSION, RELIABILITY, MISTAKES = "confusion.png", "reliability.png", "mistakes.png"
_DPI = 100
_BATCH = 1024


def write_evaluation(
    given: Mapping[str, Probabilities],
    images: LabelledImages,
    class_names: Sequence[str],
    title: str,
    directory: Path,
) -> dict[str, Evaluation]:
    """Write what answers (N, K) are worth, ``given`` by the name of who gave them; pictures are of the first.

    An earlier evaluation in ``directory`` is replaced as a whole. Raises ``UserError`` when it holds anything else.
    """
    _check_replaceable(directory)
    found = {name: Evaluation.of(each, images.labels, class_names) for name, each in given.items()}
    name, first = next(iter(given.items()))
    mistakes = f"{title}: the surest mistakes of the {name}"
    figures = {
        CONFUSION: confusion(first, images.labels, class_names, f"{title}: {name}"),
        RELIABILITY: reliability(first, images.labels, f"{title}: {name}"),
        MISTAKES: worst_mistakes(images.images, first, images.labels, class_names, mistakes),
    }
    with replacing(directory) as fresh:
        values = {name: each.to_dict() for name, each in found.items()}
        (fresh / EVALUATION_FILE).write_text(
            json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        for file, figure in figures.items():
            if figure:
                figure.savefig(fresh / file, dpi=_DPI)
    return found


def evaluate_model(
    model: ExportedModel, data: DataSplits, split: str, directory: Path | None = None
) -> Evaluation:
    """What an exported ensemble is worth on a ``split`` of ``data``, or on ``all`` of it.

    With a ``directory``, figures and pictures are written there. Raises ``DataError`` where classes or colours are
    others than it knows, and ``UserError`` as ``write_evaluation`` does.
    """
    known = _known(model, data, _chosen(data, split))
    said = np.concatenate([answers(model, block, batch_size=_BATCH) for block in blocks(known.images)])
    if not directory:
        return Evaluation.of(said, known.labels, model.class_names)
    title = f"{data.name}, {split} images"
    return write_evaluation({"ensemble": said}, known, model.class_names, title, directory)["ensemble"]


def _check_replaceable(directory: Path) -> None:
    """Replacing a directory deletes it, so it must hold nothing but an earlier evaluation."""
    if not directory.is_dir():
        return
    ours = {EVALUATION_FILE, CONFUSION, RELIABILITY, MISTAKES}
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in ours)
    if foreign:
        raise UserError(
            f"{directory} holds {foreign[0]!r}, which is not part of an evaluation; choose another directory"
        )


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
