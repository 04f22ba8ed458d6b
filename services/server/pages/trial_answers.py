"""Looks: what a trial's network is made of, and what it answers to the validation images of its study."""

from __future__ import annotations

import base64
import io
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from convscout.search_space.diagram import Row, diagram
from convscout.services.evaluation.scores import Evaluation
from convscout.services.events.events import Event
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.studies.session import same_data
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.data.mapped_images import Images
from convscout.trials.data.splits import DataSplits, Labels
from convscout.trials.evaluation.metrics import Probabilities

MOST_CELLS = 20  # classes of a confusion matrix; a larger one cannot be read
MOST_MISTAKES, MOST_CONFUSIONS = 24, 10
_MOST_STUDIES = 2  # whose images stay in memory
_HEATS = 5  # shades of a matrix


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A validation image that was answered wrongly; ``picture`` is a data URL."""

    picture: str
    answer: str
    probability: float
    truth: str


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often images of ``truth`` were taken for ``answer``: ``count`` of them, a ``share`` of all of that class."""

    truth: str
    answer: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True)
class TrialAnswers:
    """What the network of a trial's best ``epoch`` answers to the validation images."""

    epoch: int
    evaluation: Evaluation
    mistakes: list[Mistake]
    confusions: list[Confusion]

    @property
    def matrix(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """A row for each true class: its name, and of each answer the count and its shade from 0."""
        names = [each.name for each in self.evaluation.classes]
        return [
            (name, [(count, _heat(count, sum(row))) for count in row])
            for name, row in zip(names, self.evaluation.confusion, strict=True)
        ]

    @property
    def readable(self) -> bool:
        """Whether the matrix is small enough to be read."""
        return len(self.evaluation.classes) <= MOST_CELLS


class StudyImages:
    """The images of the studies that were looked at last."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str], DataSplits] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def of(self, ledger: Ledger) -> DataSplits:
        """The images that the study trains on. Raises ``ConvscoutError`` where they cannot be read any more."""
        key = str(ledger.home.root), ledger.name, ledger.fingerprint
        with self._one_at_a_time:
            splits = self._known.pop(key, None) or same_data(ledger, ledger.config, _quiet)
            self._known[key] = splits
            while len(self._known) > _MOST_STUDIES:
                self._known.popitem(last=False)
            return splits


def parts_of(record: TrialRecord, splits: DataSplits) -> list[Row]:
    """The parts of a trial's network, in the order in which an image meets them."""
    return diagram(record.config.architecture, splits.image) if record.config else []


def answers_of(ledger: Ledger, number: int, splits: DataSplits) -> TrialAnswers | None:
    """What a trial answers, None where nothing of it was kept."""
    best = TrialDirectory(ledger.ref.trial(number)).load_best()
    if best is None:
        return None
    said, labels = best.probabilities.numpy(), splits.validation.labels  # (N, K), (N,)
    found = Evaluation.of(said, labels, splits.class_names)
    return TrialAnswers(
        epoch=best.epoch,
        evaluation=found,
        mistakes=list(_mistakes(splits.validation.images, said, labels, splits.class_names)),
        confusions=list(_confusions(found)),
    )


def _mistakes(
    images: Images, said: Probabilities, labels: Labels, class_names: Sequence[str]
) -> Iterator[Mistake]:
    """The wrong answers that were given most surely."""
    answers = said.argmax(axis=1)
    wrong = np.flatnonzero(answers != labels)
    surest = wrong[np.argsort(-said[wrong, answers[wrong]], kind="stable")][:MOST_MISTAKES]
    for index in map(int, surest):
        yield Mistake(
            picture=_data_url(np.asarray(images[index : index + 1])[0]),
            answer=class_names[answers[index]],
            probability=float(said[index].max()),
            truth=class_names[labels[index]],
        )


def _confusions(found: Evaluation) -> Iterator[Confusion]:
    """The classes that are taken for another most often."""
    counts = np.array(found.confusion)
    np.fill_diagonal(counts, 0)
    for place in np.argsort(-counts, axis=None, kind="stable")[:MOST_CONFUSIONS]:
        row, column = np.unravel_index(place, counts.shape)
        if count := int(counts[row, column]):
            truth = found.classes[row]
            yield Confusion(
                truth=truth.name, answer=found.classes[column].name, count=count, share=count / truth.images
            )


def _data_url(pixels: np.ndarray) -> str:
    """(H, W, C) as a PNG within the page."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _heat(count: int, of: int) -> int:
    return 0 if not count else max(1, min(_HEATS - 1, round((_HEATS - 1) * count / of)))


def _quiet(event: Event) -> None:
    """Nobody is told how the reading comes along."""
