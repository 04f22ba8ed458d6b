"""Ultralytics' classifier from scratch, as its page on CIFAR-10 trains one, without weights that were trained before.

python -m benchmarks.league_sides.ultralytics_classify --npz FILE --folders DIR --time 60
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.league_sides.contestant import Answer, Task, compete

NETWORK = "yolo11n-cls"
HELD_OUT = (
    0.1  # of the training images: it keeps the epoch that is best on images that are not those of the test
)
TEST_SHARE = 0.15  # of the time, left for the last epoch's end and the test
STRIDE = 32  # pixels, a multiple of which it takes


def link(task: Task, directory: Path) -> Path:
    """A tree of links to the images, with val/CLASS taken out of train/CLASS."""
    for split in ("train", "test"):
        for folder in sorted((task.tree / split).iterdir()):
            for part in ("train", "val") if split == "train" else ("test",):
                (directory / part / folder.name).mkdir(parents=True)
            for number, file in enumerate(sorted(folder.iterdir())):
                held_out = split == "train" and number % round(1 / HELD_OUT) == 0
                part = "val" if held_out else split
                (directory / part / folder.name / file.name).symlink_to(file)
    return directory


def contest(task: Task) -> Answer:
    os.environ["YOLO_CONFIG_DIR"] = str(task.scratch)  # read when it is imported
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(task.cores)
    side = max(task.images().x_train.shape[1:3])
    size = STRIDE * -(-side // STRIDE)
    data = link(task, task.scratch / "images")
    model = YOLO(f"{NETWORK}.yaml")
    model.train(
        data=str(data),
        time=(task.left_s - TEST_SHARE * task.time_s) / 3600,
        imgsz=size,
        seed=task.seed,
        device="cpu",
        workers=task.cores,
        project=str(task.scratch / "runs"),
        plots=False,
        pretrained=False,
    )
    epochs = model.trainer.epoch + 1
    metrics = model.val(
        data=str(data), split="test", imgsz=size, device="cpu", workers=task.cores, plots=False
    )
    return Answer(
        test_accuracy=metrics.top1, setup=f"{NETWORK}, {size} pixels, {epochs} epochs, its defaults"
    )


if __name__ == "__main__":
    compete(contest, "ultralytics", "torch")
