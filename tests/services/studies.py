"""Small real studies for tests: digits, the cheapest networks, few epochs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from services.config import StudyConfig
from services.events import Event
from services.exporting import exporters
from services.home import Home
from services.study import Ledger
from services.trial_record import TrialRecord

TINY_SPACE = {"lenet.width": 4, "recipe.batch_size": 256}


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
def bundle_alone() -> Iterator[None]:
    """Within, studies are exported as bundles alone: for tests of what comes before the export.

    To convert an ensemble to ONNX takes longer than all else of a small study. MLflow then has no champion of it.
    """
    with ExitStack() as patches:
        for name, exporter in exporters.items():
            patches.enter_context(patch.object(exporter, "default", name == "bundle"))
        yield


def essence(record: TrialRecord) -> tuple[object, ...]:
    """What of a trial must not depend on when, where and in how many attempts it was trained."""
    assert record.config is not None
    scores = [(m.epoch, m.train_loss, m.val_loss, m.val_accuracy) for m in record.measurements]
    return record.number, record.state, record.config.flat(), scores


def essences(home: Path, name: str) -> list[tuple[object, ...]]:
    """The essence of every trained trial of a study on disk."""
    return [essence(record) for record in Ledger.open(Home(home), name).trials() if record.trained]
