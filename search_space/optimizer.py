"""OptimizerConfig: what every optimizer is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from search_space.configurable import Configurable
from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Configurable, ABC):
    """An optimizer with its settings. Subclasses declare at least the two knobs named here.

    ``learning_rate`` is the peak that the schedule scales. ``weight_decay`` spares biases and norms.
    """

    learning_rate: float
    weight_decay: float

    @abstractmethod
    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        """The torch optimizer over ``groups``, each with its own ``weight_decay``."""

    def build(self, model: nn.Module) -> Optimizer:
        """The torch optimizer for ``model``: matrices and filters decay, biases and norms do not."""
        decayed: list[Tensor] = []
        spared: list[Tensor] = []
        for parameter in model.parameters():
            if parameter.requires_grad:
                (decayed if parameter.ndim > 1 else spared).append(parameter)
        groups = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ]
        return self.create([group for group in groups if group["params"]])


optimizers: Registry[type[OptimizerConfig]] = Registry(
    "optimizer", package="search_space.optimizers", group="convscout.optimizers"
)


def optimizer_from_dict(values: Mapping[str, Any]) -> OptimizerConfig:
    """The configuration that ``to_dict`` wrote, of whichever optimizer."""
    return optimizers.get(values["name"]).from_dict(values)
