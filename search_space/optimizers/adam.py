"""Adam, whose weight decay is a penalty on the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from convscout.search_space.knobs import real
from convscout.search_space.optimizer import OptimizerConfig, optimizers


@optimizers.register("adam")
@dataclass(frozen=True, kw_only=True)
class AdamConfig(OptimizerConfig):
    """Kingma & Ba (2015), "Adam: A Method for Stochastic Optimization", algorithm 1."""

    searched: ClassVar[bool] = False  # close to adamw, and short searches do better with fewer kinds

    learning_rate: float = real(2e-3, low=3e-4, high=1e-2, log=True, minimum=1e-8, help="peak learning rate")
    weight_decay: float = real(1e-5, low=1e-6, high=1e-3, log=True, help="penalty on filters and matrices")
    beta2: float = real(
        0.99, low=0.95, high=0.999, minimum=0.5, maximum=0.9999, help="memory of squared gradients"
    )

    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        return torch.optim.Adam(groups, lr=self.learning_rate, betas=(0.9, self.beta2), fused=True)

    def state_size(self, parameter: Tensor) -> int:
        return 2
