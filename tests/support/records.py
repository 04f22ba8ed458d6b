"""Trial records as a running study would tell them, for tests of what shows them."""

from __future__ import annotations

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.complexity import Complexity
from convscout.search_space.recipe import TrainingRecipe
from convscout.services.events.events import EpochEnded, Event, SearchStarted, TrialEnded, TrialStarted
from convscout.services.ledger.trial_record import TrialRecord
from convscout.trials.config import Measurement, TrialConfig, TrialPhase, TrialState
from convscout.trials.end_reason import EndReason

EPOCHS = 10
IMAGE = ImageSpec(in_channels=1, image_size=8, num_classes=10)


def record(
    number: int,
    *accuracies: float,
    state: TrialState = TrialState.RUNNING,
    family: str = "lenet",
    reason: str = "",
    reason_code: EndReason = EndReason.UNKNOWN,
    attempt: int = 1,
    phase: TrialPhase = TrialPhase.CONTENDER,
    grown_from: int | None = None,
) -> TrialRecord:
    """Trial ``number`` after one epoch for each of ``accuracies``, at 1000 images/s."""
    recipe = TrainingRecipe.proven_for(IMAGE, epochs=EPOCHS, precision="auto", overrides={})
    config = TrialConfig(
        number=number,
        attempt=attempt,
        dataset="0" * 64,
        architecture=families.get(family)(),
        recipe=recipe,
        seed=0,
        phase=phase,
    )
    return TrialRecord(
        number=number,
        state=state,
        attempt=attempt,
        worker_failures=0,
        reopened=0,
        plan=config.to_dict(),
        complexity=Complexity(params=61_706, flops=1, activations=1, peak_train_bytes=1),
        costs={},
        measurements=tuple(measurement(epoch, value) for epoch, value in enumerate(accuracies, 1)),
        reason=reason,
        reason_code=None if state is TrialState.RUNNING else reason_code,
        started_at=None,
        finished_at=None,
        grown_from=grown_from,
    )


def search_started(*, trials: int | None = 30, deadline_s: float | None = 120.0) -> SearchStarted:
    """The beginning of study ``quickstart``."""
    return SearchStarted(
        study="quickstart",
        data="digits",
        workers=2,
        executor="ray",
        trials=trials,
        deadline_s=deadline_s,
        finished=0,
    )


def life(ended: TrialRecord) -> list[Event]:
    """Everything that is told of a trial that ends as ``ended``."""
    events: list[Event] = [TrialStarted(trial=record(ended.number, family=ended.family))]
    for count in range(1, len(ended.measurements) + 1):
        seen = [m.val_accuracy for m in ended.measurements[:count]]
        running = record(ended.number, *seen, family=ended.family)
        events.append(EpochEnded(trial=running, measurement=running.measurements[-1]))
    return [*events, TrialEnded(trial=ended)]


def measurement(epoch: int, accuracy: float = 0.5) -> Measurement:
    """An epoch of an imagined trial, a second each."""
    return Measurement(
        epoch=epoch,
        train_loss=1.0,
        val_loss=1.0,
        val_accuracy=accuracy,
        val_balanced_accuracy=accuracy,
        val_macro_f1=accuracy,
        val_calibration_error=0.1,
        learning_rate=0.1,
        elapsed_s=float(epoch),
        images_per_s=1000.0,
        precision="float32 channels-last",
    )
