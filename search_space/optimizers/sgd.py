"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from convscout.search_space.knobs import choice, real
from convscout.search_space.optimizer import OptimizerConfig, optimizers


@optimizers.register("sgd")
@dataclass(frozen=True, kw_only=True)
class SGDConfig(OptimizerConfig):
    """Sutskever et al. (2013), "On the importance of initialization and momentum in deep learning", section 2."""

    learning_rate: float = real(0.1, low=0.01, high=0.5, log=True, minimum=1e-8, help="peak learning rate")
    weight_decay: float = real(5e-4, low=1e-5, high=5e-3, log=True, help="decay of filters and matrices")
    momentum: float = real(0.9, low=0.8, high=0.98, maximum=0.999, help="share of the last step that is kept")
    nesterov: bool = choice(True, (True,), legal=(True, False), help="momentum looks ahead")

    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        nesterov = self.nesterov and self.momentum > 0
        return torch.optim.SGD(
            groups, lr=self.learning_rate, momentum=self.momentum, nesterov=nesterov, fused=True
        )

    def state_size(self, parameter: Tensor) -> int:
        return 1 if self.momentum > 0 else 0
