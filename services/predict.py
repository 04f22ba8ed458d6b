"""Classify image files with an exported ensemble, a batch at a time."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from search_space.errors import ConfigError, DataError, Problem
from services.checksums import verify
from services.exported_model import MODEL_FILE, ExportedModel
from trials.image_files import SUFFIXES, UNSUPPORTED_SUFFIXES, read_pixels
from trials.metrics import Probabilities
from trials.splits import Pixels

BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class ClassProbability:
    """A class and how probable it is, in [0, 1]."""

    class_name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the ensemble says of the file at ``path``.

    ``top`` holds the most probable classes, the best first. It is empty for a file that could not be
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
        """The most probable class, empty for an unreadable file."""
        return self.top[0].class_name if self.top else ""

    @property
    def probability(self) -> float:
        """How probable that class is, NaN for an unreadable file."""
        return self.top[0].probability if self.top else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def predict(
    directory: Path, paths: Sequence[str], *, top: int = 5, batch_size: int = BATCH_SIZE
) -> list[Prediction]:
    """The ``top`` classes of every image file that ``paths`` name, in the order of ``paths``.

    A path is a file, a directory (all image files in and below it) or a glob such as ``photos/**/*.jpg``.
    ``directory`` holds an export. Files that cannot be read are part of the answer, with the reason.
    Raises ``ExportError`` when the export is damaged, ``ConfigError`` for a number below 1.
    """
    _check_positive({"top": top, "batch_size": batch_size})
    return list(predictions(load_model(directory), files_of(paths), top=top, batch_size=batch_size))


def predictions(
    model: ExportedModel, files: Sequence[Path], *, top: int = 5, batch_size: int = BATCH_SIZE
) -> Iterator[Prediction]:
    """What ``model`` says of each of ``files``, in their order; no more than a batch of them is in memory.

    Raises ``ConfigError`` for a number below 1, when it is first asked.
    """
    _check_positive({"top": top, "batch_size": batch_size})
    with ThreadPoolExecutor(thread_name_prefix="decode") as pool:  # decoding holds no lock
        for start in range(0, len(files), batch_size):
            yield from _predict_batch(model, files[start : start + batch_size], top, pool)


def files_of(paths: Sequence[str]) -> list[Path]:
    """The files that ``paths`` stand for: files, directories and globs; a path that stands for none is kept."""
    return [file for path in paths for file in _files(path)]


def probabilities(directory: Path, images: Pixels, *, batch_size: int = BATCH_SIZE) -> Probabilities:
    """Class probabilities (N, K) float32 of uint8 ``images`` (N, H, W, C) of any size, by the export in ``directory``.

    Raises ``ExportError`` when the export is damaged, ``DataError`` when the images are none or have other channels.
    """
    _check_positive({"batch_size": batch_size})
    return answers(load_model(directory), images, batch_size=batch_size)


def answers(model: ExportedModel, images: Pixels, *, batch_size: int = BATCH_SIZE) -> Probabilities:
    """As ``probabilities``, by a ``model`` that was loaded before."""
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[3] != model.in_channels
        or not images.size
    ):
        raise DataError(
            f"images must be uint8 of shape (N, H, W, {model.in_channels}), but are {images.dtype} of "
            f"shape {images.shape}; convert them first"
        )
    found = np.empty((len(images), len(model.class_names)), dtype=np.float32)
    for start in range(0, len(images), batch_size):
        found[start : start + batch_size] = model.probabilities(images[start : start + batch_size])
    return found


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


def _predict_batch(model: ExportedModel, files: Sequence[Path], top: int, pool: Executor) -> list[Prediction]:
    with warnings.catch_warnings():  # here and not in the threads, which share one list of filters
        warnings.filterwarnings("ignore", module="PIL")  # a damaged file is named in our own words
        reading = partial(read_picture, size=model.image_size, channels=model.in_channels)
        read = list(pool.map(reading, files))
    readable = [pixels for pixels in read if not isinstance(pixels, str)]
    said = iter(model.probabilities(np.stack(readable)) if readable else ())  # each (K,)
    return [
        Prediction(path=str(path), reason=pixels)
        if isinstance(pixels, str)
        else Prediction(path=str(path), top=best(model, next(said), top))
        for path, pixels in zip(files, read, strict=True)
    ]


def read_picture(path: Path, size: int, channels: int) -> Pixels | str:
    """The pixels (size, size, channels) of a file, or the reason why it has none."""
    if not path.exists():
        return "does not exist"
    if path.is_dir():
        return f"has no image files ({', '.join(sorted(SUFFIXES))})"
    if not path.is_file():
        return "is not a regular file"  # opening a pipe could wait for ever
    try:
        return read_pixels(path, size, channels)
    except DataError as error:
        return error.message


def best(model: ExportedModel, answer: Probabilities, top: int) -> tuple[ClassProbability, ...]:
    """The ``top`` classes of one ``answer`` (K,), the most probable first."""
    order = np.argsort(-answer, kind="stable")[:top]
    return tuple(
        ClassProbability(class_name=model.class_names[i], probability=float(answer[i])) for i in order
    )


def _files(path: str) -> list[Path]:
    """The files that ``path`` stands for; ``path`` itself when it stands for none."""
    matches = [path]
    if not os.path.lexists(path):
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    files = [file for match in matches for file in _files_in(Path(match))]
    return files or [Path(path)]


def _files_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(_walk(path))


def _walk(directory: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(directory):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        suffixed = (Path(root, name) for name in names if not name.startswith("."))
        yield from (path for path in suffixed if path.suffix.lower() in SUFFIXES | UNSUPPORTED_SUFFIXES)
