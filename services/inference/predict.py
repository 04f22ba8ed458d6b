"""Classify pictures with an exported ensemble, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convscout.search_space.errors import ConfigError, DataError, Problem
from convscout.services.export.checksums import verify
from convscout.services.export.onnx_model import MODEL_FILE, ExportedModel
from convscout.services.inference.images import InputPicture, Pictures, pictures_of, read_batches
from convscout.trials.data.splits import Pixels
from convscout.trials.evaluation.metrics import Probabilities

BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class ClassProbability:
    """A class and how probable it is, in [0, 1]."""

    class_name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the ensemble says of the picture at ``path``, or of that which was given as ``images[2]``.

    ``top`` holds the most probable classes, the best first. It is empty for a picture that could not be
    read; then ``reason`` says why.
    """

    path: str
    top: tuple[ClassProbability, ...] = ()
    reason: str = ""

    @property
    def readable(self) -> bool:
        """Whether there is an answer."""
        return bool(self.top)

    @property
    def class_name(self) -> str:
        """The most probable class, empty for an unreadable picture."""
        return self.top[0].class_name if self.top else ""

    @property
    def probability(self) -> float:
        """How probable that class is, NaN for an unreadable picture."""
        return self.top[0].probability if self.top else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def predict(
    directory: Path, images: Pictures, *, top: int = 5, batch_size: int = BATCH_SIZE
) -> list[Prediction]:
    """The ``top`` classes of every picture that ``images`` stand for, in their order.

    Images are what ``convscout.services.inference.images`` takes: a path is a file, a directory (all image files in
    and below it) or a glob such as ``photos/**/*.jpg``. ``directory`` holds an export. Files that cannot be read are
    part of the answer, with the reason. Raises ``ExportError`` when the export is damaged, ``ConfigError`` for a
    number below 1, ``DataError`` for arrays that are no pictures.
    """
    _check_positive({"top": top, "batch_size": batch_size})
    model = load_model(directory)
    return list(predictions(model, pictures_of(images, model.white), top=top, batch_size=batch_size))


def predictions(
    model: ExportedModel, pictures: Sequence[InputPicture], *, top: int = 5, batch_size: int = BATCH_SIZE
) -> Iterator[Prediction]:
    """What ``model`` says of each of ``pictures``, in their order; no more than a batch of files is in memory.

    Raises ``ConfigError`` for a number below 1, when it is first asked.
    """
    _check_positive({"top": top, "batch_size": batch_size})
    for batch, read in read_batches(pictures, model.image_size, model.in_channels, batch_size):
        readable = [pixels for pixels in read if not isinstance(pixels, str)]
        said = iter(model.probabilities(np.stack(readable)) if readable else ())  # each (K,)
        for picture, pixels in zip(batch, read, strict=True):
            if isinstance(pixels, str):
                yield Prediction(path=picture.name, reason=pixels)
            else:
                yield Prediction(path=picture.name, top=best(model, next(said), top))


def probabilities(directory: Path, images: Pictures, *, batch_size: int = BATCH_SIZE) -> Probabilities:
    """Class probabilities (N, K) float32 of the N pictures that ``images`` stand for, by the export in ``directory``.

    Raises ``ExportError`` when the export is damaged, ``DataError`` naming the first picture that cannot be read.
    """
    _check_positive({"batch_size": batch_size})
    model = load_model(directory)
    pictures = pictures_of(images, model.white)
    found = np.empty((len(pictures), len(model.class_names)), dtype=np.float32)
    start = 0
    for batch, read in read_batches(pictures, model.image_size, model.in_channels, batch_size):
        for picture, pixels in zip(batch, read, strict=True):
            if isinstance(pixels, str):
                raise DataError(f"{picture.name}: {pixels}")
        found[start : start + len(batch)] = model.probabilities(np.stack(read))
        start += len(batch)
    return found


def answers(model: ExportedModel, images: Pixels, *, batch_size: int = BATCH_SIZE) -> Probabilities:
    """What ``model`` answers (N, K) to ``images`` (N, H, W, C) that are as it wants them."""
    starts = range(0, len(images), batch_size)
    found = [model.probabilities(images[start : start + batch_size]) for start in starts]
    return np.concatenate(found) if found else model.probabilities(images)


def load_model(directory: Path) -> ExportedModel:
    """The export in ``directory``, ready to answer. Raises ``ExportError`` when it is damaged."""
    verify(directory, required=MODEL_FILE)
    return ExportedModel(directory / MODEL_FILE)


def _check_positive(numbers: Mapping[str, int]) -> None:
    problems = [
        Problem(field=name, value=number, rule="must be at least 1")
        for name, number in numbers.items()
        if number < 1
    ]
    if problems:
        raise ConfigError(problems)


def best(model: ExportedModel, answer: Probabilities, top: int) -> tuple[ClassProbability, ...]:
    """The ``top`` classes of one ``answer`` (K,), the most probable first."""
    order = np.argsort(-answer, kind="stable")[:top]
    return tuple(
        ClassProbability(class_name=model.class_names[i], probability=float(answer[i])) for i in order
    )
