"""OptimizerConfig: what every optimizer is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from search_space.architecture import Classifier
from search_space.configurable import Configurable
from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Configurable, ABC):
    """An optimizer with its settings. Subclasses declare at least the two knobs named here.

    ``learning_rate`` is the peak that the schedule scales. ``weight_decay`` spares biases and norms.
    ``searched`` is False for an optimizer that takes part only when a study names it.
    """

    searched: ClassVar[bool] = True

    learning_rate: float
    weight_decay: float

    @abstractmethod
    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        """The torch optimizer over ``groups``, each with its own ``weight_decay``."""

    @abstractmethod
    def state_size(self, parameter: Tensor) -> int:
        """How many numbers are kept from step to step for each number in ``parameter``."""

    def scratch_bytes(self, parameters: Sequence[Tensor]) -> int:
        """What a step over ``parameters`` takes besides; nothing where it is fused."""
        return 0

    def build(self, model: nn.Module) -> Optimizer:
        """The torch optimizer for ``model``: matrices and filters decay, biases and norms do not.

        The learning rate of each group is ``learning_rate`` times its ``lr_scale``, which ``model`` decides.
        """
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                decay = self.weight_decay if parameter.ndim > 1 else 0.0
                scale = model.learning_rate_scale(name) if isinstance(model, Classifier) else 1.0
                groups.setdefault((decay, scale), []).append(parameter)
        optimizer = self.create(
            [
                {"params": group, "weight_decay": decay, "lr": scale * self.learning_rate, "lr_scale": scale}
                for (decay, scale), group in groups.items()
            ]
        )
        _make_recordable(optimizer)
        return optimizer


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Let the next step of what ``OptimizerConfig.build`` gave be of ``rate``, times each group's ``lr_scale``."""
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


optimizers: Registry[type[OptimizerConfig]] = Registry(
    "optimizer", package="search_space.optimizers", group="convscout.optimizers"
)


def optimizer_from_dict(values: Mapping[str, Any]) -> OptimizerConfig:
    """The configuration that ``to_dict`` wrote, of whichever optimizer."""
    return optimizers.get(values["name"]).from_dict(values)
