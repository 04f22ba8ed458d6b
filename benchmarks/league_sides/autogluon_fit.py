"""AutoGluon's MultiModalPredictor with a time limit, without the weights that it would download.

python -m benchmarks.league_sides.autogluon_fit --npz FILE --folders DIR --time 60
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from autogluon.multimodal import MultiModalPredictor

from benchmarks.league_sides.contestant import Answer, Task, compete

PRESET = "medium_quality"  # its fastest
TEST_SHARE = 0.25  # of the time, left for averaging its checkpoints and the test


def frame(split: Path) -> pd.DataFrame:
    files = sorted(split.glob("*/*"))
    return pd.DataFrame({"image": map(str, files), "label": [file.parent.name for file in files]})


def contest(task: Task) -> Answer:
    predictor = MultiModalPredictor(
        label="label",
        path=str(task.scratch / "predictor"),
        pretrained=False,
        enable_progress_bar=False,
    )
    predictor.fit(
        frame(task.tree / "train"),
        presets=PRESET,
        time_limit=round(task.left_s - TEST_SHARE * task.time_s),
        hyperparameters={"env.num_gpus": 0, "env.num_workers": task.cores},
        seed=task.seed,
    )
    scores = predictor.evaluate(frame(task.tree / "test"), metrics=["accuracy"])
    return Answer(test_accuracy=float(scores["accuracy"]), setup=f"{PRESET}, without pretrained weights")


if __name__ == "__main__":
    compete(contest, "autogluon.multimodal", "torch")
