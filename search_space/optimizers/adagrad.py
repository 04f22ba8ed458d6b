"""Adagrad: steps that shrink with all the gradients a weight has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from convscout.search_space.knobs import real
from convscout.search_space.optimizer import OptimizerConfig, optimizers


@optimizers.register("adagrad")
@dataclass(frozen=True, kw_only=True)
class AdagradConfig(OptimizerConfig):
    """Duchi, Hazan & Singer (2011), "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization"."""

    searched: ClassVar[bool] = False  # close to adamw, and short searches do better with fewer kinds

    learning_rate: float = real(0.02, low=3e-3, high=0.1, log=True, minimum=1e-8, help="peak learning rate")
    weight_decay: float = real(1e-5, low=1e-6, high=1e-3, log=True, help="penalty on filters and matrices")

    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        return torch.optim.Adagrad(groups, lr=self.learning_rate, fused=True)

    def state_size(self, parameter: Tensor) -> int:
        return 1
