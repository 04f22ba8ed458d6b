"""Muon: momentum whose matrices are made orthogonal before each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from convscout.search_space.knobs import real
from convscout.search_space.optimizer import OptimizerConfig, optimizers
from convscout.search_space.orthogonalization import orthogonalize, orthogonalizing_bytes, update_matrices

RMS = 0.2  # of a step of AdamW (Liu et al., 2025, section 2.2)


@optimizers.register("muon")
@dataclass(frozen=True, kw_only=True)
class MuonConfig(OptimizerConfig):
    """Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks"; Liu et al. (2025), "Muon is
    Scalable for LLM Training", section 2.2, whose scaling lets one learning rate serve AdamW and Muon.

    A filter bank counts as the matrix of its flattened filters; biases and norms are left to AdamW.
    """

    learning_rate: float = real(0.02, low=4e-3, high=0.06, log=True, minimum=1e-8, help="peak learning rate")
    weight_decay: float = real(
        0.05, low=1e-3, high=0.3, log=True, help="decoupled decay of filters and matrices"
    )
    momentum: float = real(0.9, low=0.6, high=0.98, maximum=0.999, help="Nesterov momentum of matrices")

    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        return MuonAdamW(groups, lr=self.learning_rate, momentum=self.momentum)

    def state_size(self, parameter: Tensor) -> int:
        return 1 if parameter.ndim > 1 else 2

    def scratch_bytes(self, parameters: Sequence[Tensor]) -> int:
        """Two copies of a matrix and four small squares while it is made orthogonal; two more copies where filters are
        flattened for it.
        """
        return max((orthogonalizing_bytes(each) for each in parameters if each.ndim > 1), default=0)


class MuonAdamW(AdamW):
    """Muon for parameters of two or more dimensions, AdamW for the others.

    One learning rate serves both: a step of Muon is scaled to the size of AdamW's.
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float) -> None:
        super().__init__(groups, lr=lr, betas=(0.9, 0.99), fused=True)
        for group in self.param_groups:
            group["momentum"] = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        loss = closure() if closure else None
        update_matrices(self, 2, self._step_matrix)
        super().step()
        return loss

    def _step_matrix(
        self, matrix: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = matrix.new_zeros(())  # which AdamW looks for when a state is loaded
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = orthogonalize(gradient.lerp(momentum, group["momentum"]))
        rate = group["lr"]  # a number, or a tensor that may not be read while a graph is recorded
        matrix.mul_(1 - rate * group["weight_decay"])
        matrix.sub_(update.float().mul_(RMS * max(matrix.shape) ** 0.5 * rate))
