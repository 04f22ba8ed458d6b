"""Normalized Muon: filters of constant norm that turn, and plain momentum for all else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from convscout.search_space.knobs import integer, real
from convscout.search_space.optimizer import OptimizerConfig, optimizers
from convscout.search_space.orthogonalization import (
    SMALLEST_NORM,
    orthogonalize,
    orthogonalizing_bytes,
    update_matrices,
)

MOMENTUM = 0.85  # Nesterov's, of the head and of biases


@optimizers.register("normalized_muon")
@dataclass(frozen=True, kw_only=True)
class NormalizedMuonConfig(OptimizerConfig):
    """The optimizer of the CIFAR-10 speed runs: Jordan (2024), the code "airbench94_muon".

    Each step scales a filter bank to the norm √filters and then takes ``learning_rate`` times an orthogonal matrix
    away from it, so that the rate is the angle by which filters turn, whatever their number. Linear layers and biases
    learn by SGD with Nesterov momentum, at a few times or a part of that rate; decay is for linear layers alone, as
    filters cannot grow.
    """

    learning_rate: float = real(
        0.24,
        low=0.06,
        high=0.5,
        log=True,
        minimum=1e-8,
        help="peak rate of filters: how far a step turns them",
    )
    weight_decay: float = real(
        1.5e-3, low=1e-4, high=1e-2, log=True, help="decay of linear layers; filters cannot grow"
    )
    momentum: float = real(0.6, low=0.4, high=0.95, maximum=0.999, help="Nesterov momentum of filters")
    head_factor: float = real(
        2.8,
        low=0.5,
        high=8.0,
        log=True,
        minimum=0.01,
        maximum=100.0,
        help="rate of linear layers ÷ that of filters",
    )
    bias_factor: float = real(
        0.22, low=0.05, high=1.0, log=True, minimum=0.01, maximum=100.0,
        help="rate of biases and norms ÷ that of filters",
    )  # fmt: skip
    iterations: int = integer(
        3, low=3, high=3, maximum=5, help="iterations of Newton and Schulz that make a matrix orthogonal"
    )

    def create(self, groups: list[dict[str, Any]]) -> Optimizer:
        factors = {4: 1.0, 2: self.head_factor, 1: self.bias_factor}
        own = [
            {**group, "params": chosen, "lr": factor * group["lr"], "lr_scale": factor * group["lr_scale"]}
            for group in groups
            for dimensions, factor in factors.items()
            if (chosen := [each for each in group["params"] if _kind(each) == dimensions])
        ]
        return NormalizedMuon(
            own, lr=self.learning_rate, filter_momentum=self.momentum, iterations=self.iterations
        )

    def state_size(self, parameter: Tensor) -> int:
        return 1

    def scratch_bytes(self, parameters: Sequence[Tensor]) -> int:
        """As Muon's, of filters alone."""
        return max((orthogonalizing_bytes(each) for each in parameters if _kind(each) == 4), default=0)


def _kind(parameter: Tensor) -> int:
    """4 for filters, 2 for linear layers, 1 for vectors and numbers."""
    return 4 if parameter.ndim > 2 else max(1, parameter.ndim)


class NormalizedMuon(SGD):
    """Normalized Muon for filters, SGD for all other parameters."""

    def __init__(
        self, groups: list[dict[str, Any]], *, lr: float, filter_momentum: float, iterations: int
    ) -> None:
        super().__init__(groups, lr=lr, momentum=MOMENTUM, nesterov=True, fused=True)
        self._iterations = iterations
        for group in self.param_groups:
            group["filter_momentum"] = filter_momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        loss = closure() if closure else None
        update_matrices(self, 3, self._turn)
        super().step()
        return loss

    def _turn(self, matrix: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum = state["momentum_buffer"].mul_(group["filter_momentum"]).add_(gradient)
        update = orthogonalize(
            gradient + group["filter_momentum"] * momentum, iterations=self._iterations
        ).float()
        matrix.mul_(len(matrix) ** 0.5 / matrix.norm().clamp(min=SMALLEST_NORM))
        matrix.sub_(update.mul_(group["lr"]))  # a number, or a tensor that a graph reads anew
