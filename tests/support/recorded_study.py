"""A study whose records are given rather than searched for: the source of the tracking tests."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.complexity import Complexity
from convscout.search_space.recipe import TrainingRecipe
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.study_ref import StudyRef
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.tracking.source import ValidationLabels
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import Measurement, TrialConfig, TrialState
from convscout.trials.end_reason import EndReason

EPOCHS = 4
_CODES = {
    TrialState.COMPLETED: EndReason.COMPLETED,
    TrialState.STOPPED: EndReason.PRUNED,
    TrialState.FAILED: EndReason.DIVERGED,
    TrialState.REJECTED: EndReason.LIMIT_EXCEEDED,
}
BEGAN = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
VALIDATION = ValidationLabels(labels=np.arange(30, dtype=np.int64) % 3, class_names=("cat", "dog", "emu"))


@dataclass
class RecordedStudy:
    """Holds what a ledger would hold; ``home`` is a real directory with real trial directories."""

    home: Home
    config: StudyConfig
    records: dict[int, TrialRecord] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def ref(self) -> StudyRef:
        return self.home.study(self.name)

    def trials(self) -> list[TrialRecord]:
        return [self.records[number] for number in sorted(self.records)]

    def trial(self, number: int) -> TrialRecord:
        return self.records[number]

    def note(self, key: str) -> Any | None:
        return self.notes.get(key)

    def train(self, number: int, *, epochs: int = EPOCHS, state: TrialState = TrialState.RUNNING) -> None:
        """Bring the trial to ``epochs`` epochs and to ``state``, with the files that a worker leaves."""
        self.records[number] = _record(number, epochs, state)
        if epochs:
            _save_best(TrialDirectory(self.ref.trial(number)))


def recorded_study(root: Path, name: str = "demo") -> RecordedStudy:
    return RecordedStudy(home=Home(root), config=StudyConfig(name=name, data="digits", trials=20))


def measurements(number: int, epochs: int) -> Iterator[Measurement]:
    for epoch in range(1, epochs + 1):
        yield Measurement(
            epoch=epoch,
            train_loss=2.3 * math.exp(-0.3 * epoch),
            val_loss=2.3 * math.exp(-0.25 * epoch) + 0.01 * number,
            val_accuracy=1 - math.exp(-0.5 * epoch) / (1 + 0.1 * number),
            val_balanced_accuracy=1 - math.exp(-0.5 * epoch) / (1 + 0.1 * number),
            val_macro_f1=1 - math.exp(-0.5 * epoch) / (1 + 0.1 * number),
            val_calibration_error=0.1,
            learning_rate=0.1 / epoch,
            elapsed_s=1.25 * epoch,
            images_per_s=900.0 + number,
            precision="float32 channels-last",
        )


def _record(number: int, epochs: int, state: TrialState) -> TrialRecord:
    began = BEGAN + datetime.timedelta(seconds=10 * number)
    final = state is not TrialState.RUNNING
    return TrialRecord(
        number=number,
        state=state,
        attempt=1,
        worker_failures=0,
        reopened=0,
        plan=_config(number).to_dict(),
        complexity=Complexity(
            params=1000 + number, flops=20_000, activations=3_000, peak_train_bytes=4_000_000
        ),
        costs={},
        measurements=tuple(measurements(number, epochs)),
        reason="the loss became nan" if state is TrialState.FAILED else "",
        reason_code=_CODES.get(state),
        started_at=began,
        finished_at=began + datetime.timedelta(seconds=9) if final else None,
    )


def _config(number: int) -> TrialConfig:
    names = families.names()
    image = ImageSpec(in_channels=1, image_size=8, num_classes=3)
    recipe = TrainingRecipe.proven_for(image, epochs=EPOCHS, precision="float32", overrides={})
    return TrialConfig(
        number=number,
        attempt=1,
        dataset="0123456789abcdef" * 4,
        architecture=families.get(names[number % len(names)]).proven(),
        recipe=recipe,
        seed=number,
    )


def _save_best(directory: TrialDirectory) -> None:
    directory.claim(1)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(len(VALIDATION.labels), 3, generator=generator)
    logits[torch.arange(len(logits)), torch.from_numpy(VALIDATION.labels)] += 2.0
    directory.save_best(EPOCHS, {"weight": torch.zeros(100, 100)}, logits.softmax(dim=1))
