"""Kit for the plots of a study."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import optuna
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec
from convscout.search_space.complexity import Complexity
from convscout.search_space.recipe import TrainingRecipe
from convscout.search_space.space import SearchSpace
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.view import StudyPlot, StudyView
from convscout.trials.config import Measurement, TrialConfig, TrialState
from convscout.trials.end_reason import EndReason

_BEGAN = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
_ENDS = (EndReason.COMPLETED, EndReason.PRUNED, EndReason.SHORTENED, EndReason.DIVERGED)
_EPOCHS, _WORKERS, _MANY = 4, 3, 40
_TITLE = "a study with a name: 10,000 trials, 100,000 epochs"


def check_study_plot(plot: StudyPlot) -> None:
    """``plot`` draws studies of any number of trials, the same each time, and leaves room for a title.

    Of 40 trials, the last of which still run, there must be a figure; of fewer it may be None.
    """
    many = _trials("accuracy")
    for records in ([], *_single(many[0]), many[:1], many[:2], many, _trials("nll")):
        _check_drawn(plot, records)
    assert _draw(plot, StudyView(many)) is not None, f"it draws nothing of {_MANY} trials"


def _single(record: TrialRecord) -> list[list[TrialRecord]]:
    """Studies of one trial: before its first epoch, running, and failed."""
    running = replace(record, state=TrialState.RUNNING, finished_at=None)
    begun = replace(running, measurements=())
    return [[begun], [running], [replace(begun, state=TrialState.FAILED)]]


def _check_drawn(plot: StudyPlot, records: Sequence[TrialRecord]) -> None:
    known = _pyplot_figures()
    view = StudyView(records)
    before = list(view.records)
    first, again = _draw(plot, view), _draw(plot, StudyView(records))
    assert view.records == before, "it changes the list of trials, which other plots draw, too"
    assert _pyplot_figures() == known, "it draws with pyplot, whose state is not made for threads"
    if first is None or again is None:
        assert first is again, f"of {len(records)} trials it draws a figure at one time and none at another"
        return
    assert isinstance(first, Figure), f"it gives {type(first).__name__}, not a figure"
    assert first.get_layout_engine() is None, "it has an automatic layout, which takes more time than to draw"
    drawn = _pixels(first)
    assert np.array_equal(drawn, _pixels(again)), "it draws something else the second time"
    assert len(np.unique(drawn)) > 1, "the figure is empty"
    covered = drawn[_title_place(first)]
    assert np.array_equal(covered, np.broadcast_to(drawn[0, 0], covered.shape)), (
        "something is drawn where the title goes; leave the top tenth of the figure free"
    )


def _draw(plot: StudyPlot, view: StudyView) -> Figure | None:
    try:
        return plot(view)
    except Exception as error:
        told = f"{len(view.records)} trials end it with {type(error).__name__}: {error}"
        raise AssertionError(told) from error


def _pyplot_figures() -> list[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")  # which is not to be imported by looking
    return pyplot.get_fignums() if pyplot else []


def _pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba())  # type: ignore[no-untyped-call]


def _title_place(figure: Figure) -> tuple[slice, slice]:
    """The rows and columns of pixels that the title takes."""
    title = figure.suptitle(_TITLE, x=0.01, ha="left")
    box, height = title.get_window_extent(), int(figure.bbox.height)  # from the bottom left
    return slice(height - int(box.y1), height - int(box.y0)), slice(int(box.x0), int(box.x1))


@cache
def _trials(objective: str) -> tuple[TrialRecord, ...]:
    """Random candidates of the whole space in the states that trials end in; the batch size decides their worth."""
    space = SearchSpace(
        image=ImageSpec(in_channels=3, image_size=16, num_classes=10),
        epochs=_EPOCHS,
        overrides={"recipe.batch_size": {"choices": [64, 128, 256]}},
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return tuple(_trial(number, *space.suggest(study.ask()), objective) for number in range(_MANY))


def _trial(
    number: int, architecture: ArchitectureConfig, recipe: TrainingRecipe, objective: str
) -> TrialRecord:
    running = number >= _MANY - _WORKERS
    began = _BEGAN + datetime.timedelta(seconds=10 * (number // _WORKERS))
    end = None if running else _ENDS[number % len(_ENDS)]
    worth = 0.9 if recipe.batch_size == 64 else 0.5
    return TrialRecord(
        number=number,
        state=TrialState.after(end) if end else TrialState.RUNNING,
        attempt=1,
        worker_failures=0,
        reopened=0,
        plan=TrialConfig(
            number=number,
            attempt=1,
            dataset="0" * 64,
            architecture=architecture,
            recipe=recipe,
            seed=0,
            objective=objective,
        ).to_dict(),
        complexity=Complexity(params=1000 + 37 * number, flops=1, activations=1, peak_train_bytes=1),
        costs={},
        measurements=tuple(_measurement(epoch, worth - 0.1 / epoch) for epoch in range(1, _EPOCHS + 1)),
        reason="",
        reason_code=end,
        started_at=began,
        finished_at=None if running else began + datetime.timedelta(seconds=4 + number % 5),
    )


def _measurement(epoch: int, accuracy: float) -> Measurement:
    """An epoch that took a second."""
    return Measurement(
        epoch=epoch,
        train_loss=1.0,
        val_loss=1 - accuracy,
        val_accuracy=accuracy,
        val_balanced_accuracy=accuracy,
        val_macro_f1=accuracy,
        val_calibration_error=0.1,
        learning_rate=0.1,
        elapsed_s=float(epoch),
        images_per_s=1000.0,
        precision="float32 channels-last",
    )
