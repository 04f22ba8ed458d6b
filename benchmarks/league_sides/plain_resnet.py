"""A plain residual net written by hand, with the training that people give one, for the whole time.

    python -m benchmarks.league_sides.plain_resnet --npz FILE --time 60

Nine layers, SGD with one cycle of its rate, random crops and flips.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.league_sides.contestant import Answer, Images, Task, compete
from benchmarks.league_sides.torch_parts import (
    FORMAT,
    Normalized,
    accuracy,
    autocast,
    channels_first,
    progress,
    seconds,
)

WIDTH, BATCH_SIZE, MOST_EPOCHS = 32, 256, 200
HIGHEST_RATE, RISE = 0.4, 0.25  # the rate rises for the first quarter
SHIFT = 4  # pixels
SPARE = 1.2  # times the seconds that answers are expected to take


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(convolution(width, width), convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def network_for(images: Images) -> nn.Sequential:
    """Pixels to logits."""
    w = WIDTH
    return nn.Sequential(
        Normalized(images.x_train),
        convolution(images.x_train.shape[-1], w),
        convolution(w, 2 * w),
        nn.MaxPool2d(2),
        Residual(2 * w),
        convolution(2 * w, 4 * w),
        nn.MaxPool2d(2),
        convolution(4 * w, 8 * w),
        nn.MaxPool2d(2),
        Residual(8 * w),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(8 * w, images.num_classes),
    ).to(memory_format=torch.channels_last)


def rate(gone: float) -> float:
    """The rate of learning after a share of the time: up and down along cosines."""
    low, share = (HIGHEST_RATE / 25, gone / RISE) if gone < RISE else (0.0, (1 - gone) / (1 - RISE))
    return low + (HIGHEST_RATE - low) * (1 - math.cos(math.pi * share)) / 2


def loss(network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    with autocast():
        logits = network(pixels)
    return F.cross_entropy(logits.float(), labels, label_smoothing=0.1)


def crop(pixels: Tensor, *, mirror: bool) -> Tensor:
    """The batch, shifted as one, and mirrored as one in half of the cases."""
    height, width = pixels.shape[-2:]
    padded = F.pad(pixels.float(), (SHIFT,) * 4, mode="reflect")
    down, right = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
    cropped = padded[..., down : down + height, right : right + width]
    return cropped.flip(3) if mirror and torch.rand(()) < 0.5 else cropped


def contest(task: Task) -> Answer:
    torch.manual_seed(task.seed)
    torch.set_num_threads(task.cores)
    images = task.images()
    pixels, labels = channels_first(images.x_train), torch.from_numpy(images.y_train)
    size = min(BATCH_SIZE, len(labels))
    probe = partial(loss, network_for(images), pixels[:size], labels[:size])
    image_s = seconds(lambda: probe().backward()) / size
    test_s = SPARE * len(images.x_test) * image_s / 3  # an answer is a third of a training step
    network = network_for(images)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = len(labels) // size
    gone = progress(task.left_s - test_s, MOST_EPOCHS * steps)
    step = 0
    while (share := gone(step)) < 1:
        if step % steps == 0:
            order = torch.randperm(len(labels)).split(size)
        chosen = order[step % steps]
        optimizer.param_groups[0]["lr"] = rate(share)
        loss(network, crop(pixels[chosen], mirror=images.mirror), labels[chosen]).backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
    network.eval()
    with autocast():
        test_accuracy = accuracy(network, images.x_test, images.y_test)
    setup = f"width {WIDTH}, {FORMAT}, batches of {size}, {step / steps:.1f} epochs"
    return Answer(test_accuracy=test_accuracy, setup=setup)


if __name__ == "__main__":
    compete(contest, "torch")
