"""Optuna's PyTorch example, ``pytorch_simple.py``: TPE over layers, units, dropout, optimizer and rate of a perceptron.

    python -m benchmarks.league_sides.optuna_example --npz FILE --time 60

Ranges, sampler, pruner, batches, epochs and its few images an epoch are the example's. It differs in that trials go on
until the time is over instead of a hundred, images to validate on are held out of the training images instead of being
those of the test, and the weights of the best trial so far are kept, where the example keeps none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import optuna
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.league_sides.contestant import Answer, Images, Labels, Pixels, Task, compete

EPOCHS, BATCH_SIZE = 10, 128
TRAINING_BATCHES, VALIDATION_BATCHES = 30, 10  # of an epoch
HELD_OUT = 0.1
TEST_SHARE = 0.05  # of the time, left for the last trial's end and the test


def network(trial: optuna.Trial, images: Images) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = images.x_train[0].size
    for number in range(trial.suggest_int("n_layers", 1, 3)):
        units = trial.suggest_int(f"n_units_l{number}", 4, 128)
        dropout = trial.suggest_float(f"dropout_l{number}", 0.2, 0.5)
        layers += [nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(dropout)]
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, images.num_classes))


def dataset(pixels: Pixels, labels: Labels) -> TensorDataset:
    return TensorDataset(flat(pixels), torch.from_numpy(labels))


def flat(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels).flatten(1).float() / 255


class Objective:
    """Trains the network of a trial, and remembers the best one."""

    def __init__(self, images: Images, seed: int) -> None:
        self._images = images
        kept, held_out = images.divide(HELD_OUT, seed)
        self._training, self._validation = (
            DataLoader(dataset(images.x_train[part], images.y_train[part]), BATCH_SIZE, shuffle=True)
            for part in (kept, held_out)
        )
        self.best: nn.Module | None = None
        self._best_accuracy = -1.0

    def __call__(self, trial: optuna.Trial) -> float:
        net = network(trial, self._images)
        kind = trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"])
        optimizer = getattr(torch.optim, kind)(
            net.parameters(), lr=trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        )
        accuracy = 0.0
        for epoch in range(EPOCHS):
            net.train()
            for inputs, labels in self._some(self._training, TRAINING_BATCHES):
                optimizer.zero_grad()
                F.cross_entropy(net(inputs), labels).backward()
                optimizer.step()
            accuracy = self._accuracy(net)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        if accuracy > self._best_accuracy:
            self.best, self._best_accuracy = net, accuracy
        return accuracy

    @torch.no_grad()
    def _accuracy(self, net: nn.Module) -> float:
        net.eval()
        right = [net(x).argmax(1) == y for x, y in self._some(self._validation, VALIDATION_BATCHES)]
        return torch.cat(right).double().mean().item()

    @staticmethod
    def _some(loader: DataLoader[tuple[Tensor, ...]], batches: int) -> Iterator[tuple[Tensor, ...]]:
        return itertools.islice(loader, batches)


def contest(task: Task) -> Answer:
    torch.manual_seed(task.seed)
    torch.set_num_threads(task.cores)
    images = task.images()
    objective = Objective(images, task.seed)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=task.seed),
        pruner=optuna.pruners.MedianPruner(),
    )
    study.optimize(objective, timeout=task.left_s - TEST_SHARE * task.time_s)
    if objective.best is None:
        raise SystemExit("no trial was trained to its end")
    objective.best.eval()
    with torch.no_grad():
        right = objective.best(flat(images.x_test)).argmax(1) == torch.from_numpy(images.y_test)
    setup = f"{len(study.trials)} trials of a perceptron, the best one's weights kept"
    return Answer(test_accuracy=right.double().mean().item(), setup=setup)


if __name__ == "__main__":
    compete(contest, "optuna", "torch")
