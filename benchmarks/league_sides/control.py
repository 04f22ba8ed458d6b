"""The control: what a person would take instead of a search, one network by the recipe of the CIFAR-10 speed runs.

    python -m benchmarks.league_sides.control --npz FILE --time 60

The recipe is that of ``airbench94_muon`` (Keller Jordan, github.com/KellerJordan/cifar10-airbench, MIT licence),
written anew for CPUs. It has all training images and the whole time: its rates fall with the clock, so that it is done
in time on any machine.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.league_sides.contestant import Answer, Images, Task, compete
from benchmarks.league_sides.speed_network import SpeedNet
from benchmarks.league_sides.speed_training import Batches, Optimizer
from benchmarks.league_sides.torch_parts import FORMAT, accuracy, channels_first, progress, seconds

WIDE, NARROW = (64, 256, 256), (48, 96, 96)
FEWEST_EPOCHS = 4  # with which the wide network is the better one
MOST_EPOCHS = 200  # more would only overfit few images
SMOOTHING = 0.2
WHITENING_EPOCHS = 3
LOOKS_SHARE = 1 / 8  # of the time, which several looks at each test image may take
PROBE = 100  # images, by which speed is measured
SPARE = 1.2  # times the seconds that answers are expected to take


def contest(task: Task) -> Answer:
    torch.manual_seed(task.seed)
    torch.set_num_threads(task.cores)
    images = task.images()
    network, image_s = choose(images, task.left_s)
    wide = network.head.in_features == WIDE[-1]
    batches = Batches(images, batch_size(len(images.x_train), wide))
    look_s = SPARE * len(images.x_test) * image_s / 3  # a look is a third of a training step
    looks = 1
    if 6 * look_s < LOOKS_SHARE * task.time_s:
        looks = 6 if images.mirror else 3
    steps = train(network, batches, task.left_s - looks * look_s)
    network.eval()
    answer = network if looks == 1 else with_looks(network, mirror=images.mirror)
    widths = "/".join(map(str, WIDE if wide else NARROW))
    epochs = steps / batches.steps
    setup = f"{widths}, {FORMAT}, batches of {batches.size}, {epochs:.1f} epochs, {looks} looks"
    return Answer(test_accuracy=accuracy(answer, images.x_test, images.y_test), setup=setup)


def choose(images: Images, left_s: float) -> tuple[SpeedNet, float]:
    """The wide network, where a few epochs of it fit, and the seconds that an image takes to be trained on."""
    wide, narrow = (SpeedNet(widths, images) for widths in (WIDE, NARROW))
    image_s = measure(wide, images)
    if FEWEST_EPOCHS * len(images.x_train) * image_s < left_s:
        return wide, image_s
    return narrow, measure(narrow, images)


def measure(network: SpeedNet, images: Images) -> float:
    """Seconds of forward and backward for an image; by a copy, as statistics and gradients stay behind."""
    probe = deepcopy(network).to(memory_format=torch.channels_last)
    pixels, labels = channels_first(images.x_train[:PROBE]), torch.from_numpy(images.y_train[:PROBE])
    return seconds(lambda: loss(probe, pixels, labels).backward()) / len(pixels)


def batch_size(training: int, wide: bool) -> int:
    """As published for 50,000 images, half of it for the narrow network; fewer images have as many steps an epoch."""
    return max(1, min(training, max(32, min(1000, training // 50) // (1 if wide else 2))))


def train(network: SpeedNet, batches: Batches, train_s: float) -> int:
    """Train for ``train_s`` seconds; returns after how many steps."""
    network.to(memory_format=torch.channels_last).train()
    optimizer = Optimizer(network, batches.size)
    gone = progress(train_s, MOST_EPOCHS * batches.steps)
    step = 0
    for epoch in range(MOST_EPOCHS):
        for pixels, labels in batches.epoch(epoch):
            left = 1 - gone(step)
            if left <= 0:
                return step
            loss(network, pixels, labels).backward()
            optimizer.step(left, max(0.0, 1 - step / (WHITENING_EPOCHS * batches.steps)))
            step += 1
    return step


def loss(network: SpeedNet, pixels: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(network(pixels), labels, label_smoothing=SMOOTHING)


def with_looks(network: SpeedNet, *, mirror: bool) -> Callable[[Tensor], Tensor]:
    """Answers after looking at an image, at it shifted to two corners, which count half, and at their mirrored ones."""

    def both(pixels: Tensor) -> Tensor:
        return network(pixels) + network(pixels.flip(3)) if mirror else network(pixels)

    def answer(pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        padded = F.pad(pixels.float(), (1, 1, 1, 1), mode="reflect")
        corners = both(padded[..., :height, :width]) + both(padded[..., 2:, 2:])
        return both(pixels) + corners / 2

    return answer


if __name__ == "__main__":
    compete(contest, "torch")
