"""Small real studies for tests: digits, the cheapest networks, few epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from matplotlib.figure import Figure

from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.events.events import Event
from convscout.services.ledger.ledger import Ledger
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plugins import exporters
from convscout.services.studies import run
from tests.support.measured_machine import machine_measured_once
from tests.support.mlflow_template import mlflow_migrated_once
from tests.support.reading_back import read_back_here

TINY_SPACE = {"lenet.width": 4, "recipe.batch_size": 256}
DIVERGING = {**TINY_SPACE, "recipe.optimizer": "sgd", "sgd.learning_rate": 1e8}


def tiny_config(name: str = "tiny", **options: Any) -> StudyConfig:
    """Three small LeNets on digits for two epochs each, in this process, unless ``options`` say otherwise."""
    defaults = {
        "data": "digits",
        "families": ("lenet",),
        "executor": "in-process",
        "threads": 1,
        "precision": "float32",
        "sampler": "random",
        "pruner": "none",
        "trials": 3,
        "epochs": 2,
        "space": TINY_SPACE,
    }
    return StudyConfig.from_options({"name": name, **defaults, **options})


def quiet(event: Event) -> None:
    """A listener that tells nobody."""


@contextmanager
def blank_pictures() -> Iterator[None]:
    """Within, pictures are not painted into files, which takes a second for each study, and a third for each trial."""
    paint = Figure.savefig

    def save(figure: Figure, file: Any, **options: Any) -> None:
        if isinstance(file, str | Path):
            Path(file).write_bytes(b"blank")
        else:
            paint(figure, file, **options)

    with patch.object(Figure, "savefig", save):
        yield


@contextmanager
def bundle_alone() -> Iterator[None]:
    """Within, studies end fast: for tests of what comes before the export.

    To convert an ensemble to ONNX takes longer than all else of a small study, so a bundle is all that is exported,
    and MLflow has no champion of it. To read that back in a fresh process, to paint pictures, to measure the
    machine and to migrate MLflow's database takes most of the rest.
    """
    with ExitStack() as patches:
        patches.enter_context(blank_pictures())
        for name, exporter in exporters.items():
            patches.enter_context(patch.object(exporter, "default", name == "bundle"))
        patches.enter_context(read_back_here())
        patches.enter_context(machine_measured_once())
        patches.enter_context(mlflow_migrated_once())
        patches.enter_context(patch("convscout.services.evaluation.figures.worst_mistakes", lambda *_: None))
        yield


def search_or_resume(home: Home, config: StudyConfig) -> None:
    """Run the study to its end, from where it is."""
    began = time.time()
    if config.name in Ledger.names(home):
        run.resume(home.study(config.name), quiet, began)
    else:
        run.search(config, home, quiet, began)


def essence(record: TrialRecord) -> tuple[object, ...]:
    """What of a trial must not depend on when, where and in how many attempts it was trained."""
    assert record.config is not None
    scores = [(m.epoch, m.train_loss, m.val_loss, m.val_accuracy) for m in record.measurements]
    return record.number, record.state, record.config.flat(), scores


def essences(home: Path, name: str) -> list[tuple[object, ...]]:
    """The essence of every trained trial of a study on disk."""
    return [essence(record) for record in Ledger.open(Home(home).study(name)).trials() if record.trained]
