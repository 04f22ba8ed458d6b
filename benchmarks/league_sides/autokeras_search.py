"""AutoKeras: its greedy search over plain convolutional networks until the time is over.

    python -m benchmarks.league_sides.autokeras_search --npz FILE --time 60

``ImageClassifier`` tries an EfficientNet with downloaded weights third, and cannot be told a time. So its image block
stays with its own networks ("vanilla"), a trial ends with the time, and no other one begins after it.
"""

from __future__ import annotations

import time
from typing import Any

import autokeras
import keras
from autokeras.tuners.greedy import Greedy

from benchmarks.league_sides.contestant import Answer, Task, compete

HELD_OUT = 0.1
TEST_SHARE = 0.1  # of the time, left for the last trial's end and the test
MOST_TRIALS = 1000


class StopAtTime(keras.callbacks.Callback):
    """Ends a training once ``end_s`` is over; it is copied for each trial."""

    def __init__(self, end_s: float) -> None:
        super().__init__()
        self.end_s = end_s

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if time.time() > self.end_s:
            self.model.stop_training = True


class TimedGreedy(Greedy):
    """AutoKeras' default tuner, which begins no trial once ``end_s`` is over."""

    end_s = 0.0

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        if time.time() > self.end_s:
            self.oracle.max_trials = 1  # fewer than there are


def contest(task: Task) -> Answer:
    keras.utils.set_random_seed(task.seed)
    images = task.images()
    kept, held_out = images.divide(HELD_OUT, task.seed)
    TimedGreedy.end_s = time.time() + task.left_s - TEST_SHARE * task.time_s
    source = autokeras.ImageInput()
    block = autokeras.ImageBlock(block_type="vanilla")(source)
    model = autokeras.AutoModel(
        inputs=source,
        outputs=autokeras.ClassificationHead()(block),
        tuner=TimedGreedy,
        max_trials=MOST_TRIALS,
        directory=task.scratch,
        seed=task.seed,
    )
    model.fit(
        images.x_train[kept],
        images.y_train[kept],
        validation_data=(images.x_train[held_out], images.y_train[held_out]),
        callbacks=[StopAtTime(TimedGreedy.end_s)],
        verbose=2,
    )
    _, accuracy = model.evaluate(images.x_test, images.y_test, verbose=0)
    trials = len(model.tuner.oracle.trials)
    return Answer(test_accuracy=float(accuracy), setup=f"{trials} trials of its vanilla block, greedy tuner")


if __name__ == "__main__":
    compete(contest, "autokeras", "keras", "tensorflow-cpu")
