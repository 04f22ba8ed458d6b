"""Adam with decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from convscout.search_space.knobs import real
from convscout.search_space.optimizer import OptimizerConfig, optimizers


@optimizers.register("adamw")
@dataclass(frozen=True, kw_only=True)
class AdamWConfig(OptimizerConfig):
    """Loshchilov & Hutter (2019), "Decoupled Weight Decay Regularization", algorithm 2."""

    learning_rate: float = real(3e-3, low=3e-4, high=1e-2, log=True, minimum=1e-8, help="peak learning rate")
    weight_decay: float = real(
        0.05, low=1e-3, high=0.3, log=True, help="decoupled decay of filters and matrices"
    )
    beta2: float = real(
        0.99, low=0.95, high=0.999, minimum=0.5, maximum=0.9999, help="memory of squared gradients"
    )

    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=(0.9, self.beta2), fused=True)

    def state_size(self, parameter: Tensor) -> int:
        return 2
