"""Studies from Python: search, resume, load one, and what it came to."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from convscout.listening import listening
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig, merge
from convscout.services.config.study_ref import StudyRef
from convscout.services.events.events import Listener
from convscout.services.inference.images import Pictures
from convscout.services.inference.predict import probabilities
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.ranking import rank
from convscout.services.studies import results, run
from convscout.services.studies.distillation import DistillationConfig, distil
from convscout.services.studies.distilled import Distilled
from convscout.services.studies.outcome import Outcome, load_outcome
from convscout.trials.evaluation.metrics import Probabilities


class Study:
    """A study on disk: its trials, and its ensemble once there is one."""

    def __init__(self, ref: StudyRef) -> None:
        self.name = ref.name
        self._ref = ref
        self._ledger = Ledger.open(ref)

    @property
    def config(self) -> StudyConfig:
        """What was asked of the study."""
        return self._ledger.config

    @property
    def outcome(self) -> Outcome | None:
        """Best single and ensemble, on validation and test; None before the search has ended."""
        return load_outcome(self._ledger)

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial, the best by the study's objective first: state, family, scores, cost and every setting."""
        rows = []
        for record in rank(self._ledger.trials()):
            row = record.to_dict()
            del row["measurements"]
            row |= {f"complexity.{key}": value for key, value in (row.pop("complexity") or {}).items()}
            rows.append(row | row.pop("settings"))
        return pd.DataFrame(rows)

    @property
    def curves(self) -> pd.DataFrame:
        """A row an epoch of every trial: number, epoch, losses, accuracy, rate."""
        return pd.DataFrame(
            {"number": record.number, **measurement.to_dict()}
            for record in self._ledger.trials()
            for measurement in record.measurements
        )

    @property
    def directory(self) -> Path:
        """Where the exported ensemble lies."""
        return self._ref.export

    def predict(self, images: Pictures) -> Probabilities:
        """Class probabilities (N, K) of the exported ensemble for N pictures.

        Those are paths, Pillow's images, arrays (H, W), (H, W, C), (N, H, W) or (N, H, W, C) of whole numbers in
        [0, 255] or floats in [0, 1], torch's tensors, or lists of these. Raises ``DataError`` for anything else.
        """
        return probabilities(self.directory, images)

    def export(self, directory: str | PathLike[str] | None = None) -> Path:
        """Write the ensemble once more, verified; returns where."""
        return results.export(self._ref, Path(directory) if directory else None)

    def distil(
        self,
        directory: str | PathLike[str] | None = None,
        *,
        formats: Sequence[str] = (),
        listener: Listener | None = None,
        **wanted: Any,
    ) -> Distilled:
        """Train a small network to answer as the ensemble does, and export it to ``directory`` or into the study.

        ``wanted`` are the fields of ``convscout.services.studies.distillation.DistillationConfig``: ``params=50_000``,
        ``family="resnet"``, ….
        """
        to = Path(directory) if directory else None
        with listening(listener) as told:
            return distil(self._ref, DistillationConfig(**wanted), told, to, formats)


def search(
    data: str,
    study: str = "study",
    *,
    time: str | float | None = None,
    home: str | PathLike[str] | None = None,
    storage: str | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Study:
    """Run a new study to its end and return it.

    ``data`` and ``options`` are those of ``convscout search`` with underscores (``max_params="1.5M"``),
    ``time`` bounds the whole call ("10m", or seconds). ``storage`` is the URL of a PostgreSQL database for the
    ledger, which ``home`` remembers. Progress goes to ``listener``, by default to the
    terminal. Raises ``convscout.search_space.errors.ConvscoutError`` and its kinds.
    """
    began = clock.time()
    config = StudyConfig.from_options({"name": study, "data": data, "time": time, **options})
    with listening(listener) as told:
        run.search(config, Home.at(home, storage), told, began)
    return Study(Home.at(home, storage).study(study))


def resume(
    study: str,
    *,
    accept_changes: bool = False,
    take_over: bool = False,
    home: str | PathLike[str] | None = None,
    storage: str | None = None,
    listener: Listener | None = None,
    **changes: Any,
) -> Study:
    """Go on with a study where it was, perhaps under other settings: ``trials="+50"``, ``time="10m"`` (for this call).

    ``changes`` are those of ``convscout resume`` with underscores. ``accept_changes`` goes on although the images or
    the code changed, ``take_over`` takes the study from a controller that shows no sign of life.
    """
    began = clock.time()
    with listening(listener) as told:
        run.resume(
            Home.at(home, storage).study(study),
            told,
            began,
            changes=merge(changes),
            accept_changes=accept_changes,
            take_over=take_over,
        )
    return Study(Home.at(home, storage).study(study))


def load_study(study: str, *, home: str | PathLike[str] | None = None, storage: str | None = None) -> Study:
    """A study on disk, running or not. Raises ``StudyNotFoundError`` listing those there are."""
    return Study(Home.at(home, storage).study(study))
