"""Parameter groups: from an optimizer's settings to the torch optimizer of a network, and its learning rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from convscout.search_space.classifier import Classifier
from convscout.search_space.optimizer import OptimizerConfig


def build_optimizer(config: OptimizerConfig, model: nn.Module) -> Optimizer:
    """What ``config.build(model)`` gives."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            scale = model.learning_rate_scale(name) if isinstance(model, Classifier) else 1.0
            groups.setdefault((decay, scale), []).append(parameter)
    optimizer = config.create(
        [
            {"params": group, "weight_decay": decay, "lr": scale * config.learning_rate, "lr_scale": scale}
            for (decay, scale), group in groups.items()
        ]
    )
    _make_recordable(optimizer)
    return optimizer


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Let the next step of what ``build_optimizer`` gave be of ``rate``, times each group's ``lr_scale``."""
    for group in optimizer.param_groups:
        scaled = rate * group["lr_scale"]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(scaled)
        else:
            group["lr"] = scaled


def _make_recordable(optimizer: Optimizer) -> None:
    """On a GPU, let a CUDA graph record steps: their kernels then read the learning rate anew at each replay."""
    for group in optimizer.param_groups:
        device = group["params"][0].device
        if device.type == "cuda":
            group["lr"] = torch.tensor(group["lr"], device=device)
            if "capturable" in group:
                group["capturable"] = True
