"""RMSprop: gradients divided by a running mean of their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from convscout.search_space.knobs import real
from convscout.search_space.optimizer import OptimizerConfig, optimizers


@optimizers.register("rmsprop")
@dataclass(frozen=True, kw_only=True)
class RMSpropConfig(OptimizerConfig):
    """Tieleman & Hinton (2012), "Neural Networks for Machine Learning", lecture 6.5."""

    searched: ClassVar[bool] = False  # close to adamw, and short searches do better with fewer kinds

    learning_rate: float = real(5e-4, low=1e-4, high=3e-3, log=True, minimum=1e-8, help="peak learning rate")
    weight_decay: float = real(1e-5, low=1e-6, high=1e-3, log=True, help="penalty on filters and matrices")
    momentum: float = real(0.9, low=0.0, high=0.95, maximum=0.999, help="momentum of the scaled gradients")
    memory: float = real(
        0.99, low=0.9, high=0.999, minimum=0.5, maximum=0.9999, help="memory of squared gradients"
    )

    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        return torch.optim.RMSprop(
            groups, lr=self.learning_rate, alpha=self.memory, momentum=self.momentum, foreach=True
        )

    def state_size(self, parameter: Tensor) -> int:
        return 2 if self.momentum > 0 else 1

    def scratch_bytes(self, parameters: Sequence[Tensor]) -> int:
        return 2 * sum(
            parameter.nbytes for parameter in parameters
        )  # decayed gradients, roots of their means
