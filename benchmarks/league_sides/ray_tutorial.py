"""Ray's tutorial "How to use Tune with PyTorch": random search with ASHA over layers, rate and batches of a small net.

    python -m benchmarks.league_sides.ray_tutorial --npz FILE --time 60

Network, ranges, epochs and scheduler are the tutorial's. It differs in that trials begin until the time is over, where
the tutorial has ten, and that images come from memory, where it has eight processes for each trial.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray
import torch
import torch.nn.functional as F
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.league_sides.contestant import Answer, Images, Labels, Pixels, Task, compete

EPOCHS, CORES, HELD_OUT = 10, 2, 0.2  # of a trial
TEST_SHARE = 0.1  # of the time, left for Ray's end and the test
SMALLEST = 16  # pixels a side, for two convolutions of 5 × 5 with pools
SPACE = {
    "l1": tune.sample_from(lambda _: 2 ** np.random.randint(2, 9)),
    "l2": tune.sample_from(lambda _: 2 ** np.random.randint(2, 9)),
    "lr": tune.loguniform(1e-4, 1e-1),
    "batch_size": tune.choice([2, 4, 8, 16]),
}


class Net(nn.Module):
    """Two convolutions and three linear layers."""

    def __init__(self, images: Images, l1: int, l2: int) -> None:
        super().__init__()
        height, width, channels = images.x_train.shape[1:]
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
        self.fc1 = nn.Linear(16 * rows * columns, l1)
        self.fc2 = nn.Linear(l1, l2)
        self.fc3 = nn.Linear(l2, images.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def dataset(pixels: Pixels, labels: Labels) -> TensorDataset:
    scaled = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - 0.47) / 0.2
    return TensorDataset(scaled.contiguous(), torch.from_numpy(labels))


def trial(config: dict[str, Any], images: Images, seed: int) -> None:
    """Train one network, and report loss and weights after each epoch."""
    kept, held_out = images.divide(HELD_OUT, seed)
    training, validation = (
        DataLoader(dataset(images.x_train[part], images.y_train[part]), config["batch_size"], shuffle=True)
        for part in (kept, held_out)
    )
    net = Net(images, config["l1"], config["l2"])
    optimizer = torch.optim.SGD(net.parameters(), lr=config["lr"], momentum=0.9)
    for _ in range(EPOCHS):
        for inputs, labels in training:
            optimizer.zero_grad()
            F.cross_entropy(net(inputs), labels).backward()
            optimizer.step()
        with torch.no_grad():
            losses = [F.cross_entropy(net(inputs), labels).item() for inputs, labels in validation]
        with TemporaryDirectory() as directory:
            torch.save(net.state_dict(), Path(directory) / "checkpoint.pt")
            checkpoint = tune.Checkpoint.from_directory(directory)
            tune.report({"loss": float(np.mean(losses))}, checkpoint=checkpoint)


def contest(task: Task) -> Answer:
    images = task.images()
    if min(images.x_train.shape[1:3]) < SMALLEST:
        raise SystemExit(f"its network needs images of {SMALLEST} pixels a side")
    np.random.seed(task.seed)
    os.environ.pop("OMP_NUM_THREADS", None)  # Ray gives each worker as many threads as it has cores
    ray.init(num_cpus=task.cores, include_dashboard=False)
    cores = min(CORES, task.cores)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trial, images=images, seed=task.seed), {"cpu": cores}),
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            scheduler=ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=2),
            num_samples=-1,
            time_budget_s=task.left_s - TEST_SHARE * task.time_s,
        ),
        run_config=tune.RunConfig(storage_path=str(task.scratch), verbose=0),
        param_space=SPACE,
    )
    results = tuner.fit()
    best = results.get_best_result()
    net = Net(images, best.config["l1"], best.config["l2"])
    with best.checkpoint.as_directory() as directory:
        net.load_state_dict(torch.load(Path(directory) / "checkpoint.pt"))
    with torch.no_grad():
        batches = DataLoader(dataset(images.x_test, images.y_test), 1000)
        right = sum((net(inputs).argmax(1) == labels).sum().item() for inputs, labels in batches)
    epochs = best.metrics["training_iteration"]
    trials = sum("loss" in (result.metrics or {}) for result in results)  # others wait when the time is over
    setup = f"{trials} trials, cores of each: {cores}, the best one after {epochs} of {EPOCHS} epochs"
    return Answer(test_accuracy=right / len(images.y_test), setup=setup)


if __name__ == "__main__":
    compete(contest, "ray", "torch")
