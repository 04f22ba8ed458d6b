"""Fused: several networks of one shape trained as one, against the same networks a step each in turn.

The networks differ in their seed. As one, their weights are stacked (``torch.func.stack_module_state``), the
forward pass is mapped over them (``torch.vmap``), which turns their convolutions into grouped ones, and one
optimizer updates the stacks. Batch norm stays what it is: every network has its own statistics and running
averages. Each gets batches of its own, since trials that differ in their seed shuffle differently.

Both sides are steps alone, of noise, without augmentation or validation, in eager mode and the number
format that a trial of the network would train in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.functional import cross_entropy

from benchmarks.sides import Lap, clock
from benchmarks.workloads import BATCH_SIZE, Prepared, Workload, architecture
from convscout.trials.compute.precision import Precision

SGD: dict[str, Any] = dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)

Step = Callable[[Tensor, Tensor], Tensor]
"""Of images (K, N, C, H, W) and labels (K, N); trains every network on its part, returns the losses (K,)."""


@dataclass(frozen=True)
class Networks:
    """K networks of one shape, and ``precision`` to train them in."""

    modules: list[nn.Module]
    precision: Precision

    def in_turn(self) -> Step:
        """A step of each network after that of another."""
        networks = [copy.deepcopy(module).to(memory_format=self.precision.layout) for module in self.modules]
        optimizers = [torch.optim.SGD(network.parameters(), **SGD) for network in networks]

        def step(images: Tensor, labels: Tensor) -> Tensor:
            losses = []
            for network, optimizer, own, wanted in zip(networks, optimizers, images, labels, strict=True):
                optimizer.zero_grad(set_to_none=True)
                with self.precision.autocast():
                    logits = network(self.precision.lay_out(own))  # (N, classes)
                loss = cross_entropy(logits.float(), wanted)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            return torch.stack(losses)

        return step

    def fused(self) -> Step:
        """A step of all networks as one."""
        weights, buffers = stack_module_state(self.modules)
        shape = copy.deepcopy(self.modules[0]).to("meta")
        optimizer = torch.optim.SGD(weights.values(), **SGD)

        def logits_of(weights: Any, buffers: Any, images: Tensor) -> Tensor:
            logits: Tensor = functional_call(shape, (weights, buffers), (images,))
            return logits

        def step(images: Tensor, labels: Tensor) -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            with self.precision.autocast():
                logits = torch.vmap(logits_of)(weights, buffers, images)  # (K, N, classes)
            losses = cross_entropy(logits.float().transpose(1, 2), labels, reduction="none").mean(1)  # (K,)
            losses.sum().backward()  # no weight takes part in two of them, so each gets its own gradient
            optimizer.step()
            return losses.detach()

        return step


def networks(workload: Workload, count: int) -> tuple[Networks, Tensor, Tensor]:
    """``count`` networks, and images and labels for a step of each."""
    prepared = Prepared.of(workload)
    image, device = prepared.data.image, prepared.precision.device
    modules = []
    for seed in range(count):
        torch.manual_seed(seed)
        modules.append(architecture(workload.network).build(image).to(device).train())
    shape = (count, BATCH_SIZE, image.in_channels, image.image_size, image.image_size)
    labels = torch.randint(image.num_classes, shape[:2], device=device)
    return Networks(modules, prepared.precision), torch.randn(shape, device=device), labels


def steps_in_turn(workload: Workload, count: int) -> Lap:
    """A lap is as many steps of each of ``count`` networks, in turn."""
    made, images, labels = networks(workload, count)
    return _lap(made.in_turn(), images, labels, workload.steps)


def steps_fused(workload: Workload, count: int) -> Lap:
    """A lap is as many steps of ``count`` networks as one."""
    made, images, labels = networks(workload, count)
    return _lap(made.fused(), images, labels, workload.steps)


def _lap(step: Step, images: Tensor, labels: Tensor, steps: int) -> Lap:
    def work() -> None:
        for _ in range(steps):
            step(images, labels)

    return lambda: clock(work)
