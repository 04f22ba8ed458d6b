"""Muon: momentum whose matrices are made orthogonal before each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.optim._muon import _zeropower_via_newtonschulz as orthogonalize_in_bfloat16

from convscout.search_space.knobs import real
from convscout.search_space.optimizer import OptimizerConfig, optimizers

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of its quintic, from the post of Jordan et al.
ITERATIONS, SMALLEST_NORM = 5, 1e-7
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
        return max((_scratch_bytes(each) for each in parameters if each.ndim > 1), default=0)


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
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim > 1 and parameter.grad is not None:
                    self._step_matrix(parameter, group)
                    parameter.grad = None  # so that AdamW passes it over
        super().step()
        return loss

    def _step_matrix(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        matrix, gradient = parameter.flatten(1), parameter.grad.flatten(1)  # (out, in · height · width)
        state = self.state[parameter]
        if not state:
            state["step"] = parameter.new_zeros(())  # which AdamW looks for when a state is loaded
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = orthogonalize(gradient.lerp(momentum, group["momentum"]))
        rate = group["lr"]  # a number, or a tensor that may not be read while a graph is recorded
        matrix.mul_(1 - rate * group["weight_decay"])
        matrix.sub_(update.float().mul_(RMS * max(matrix.shape) ** 0.5 * rate))
        if matrix.data_ptr() != parameter.data_ptr():  # flattening copies what is channels-last
            parameter.copy_(matrix.view_as(parameter))


def orthogonalize(matrix: Tensor) -> Tensor:
    """About the orthogonal matrix nearest to ``matrix``, of the same shape, by five iterations of Newton and Schulz.

    A GPU computes in bfloat16, as its tensor cores do best. A CPU computes in float32: many emulate bfloat16, which
    takes 20 to 40 times as long. Then the iterations work on the small square matrix of Gram, of which each is a
    polynomial P; their product turns the matrix at once. That takes half the multiplications.
    """
    if matrix.is_cuda:
        return orthogonalize_in_bfloat16(matrix, NEWTON_SCHULZ, ITERATIONS, SMALLEST_NORM)
    wide = matrix.T if matrix.size(0) > matrix.size(1) else matrix
    gram = wide @ wide.T
    norm = gram.trace().sqrt().clamp(min=SMALLEST_NORM)
    gram /= norm**2
    product = polynomial = _polynomial(gram)
    for _ in range(ITERATIONS - 1):
        gram = polynomial @ gram @ polynomial
        polynomial = _polynomial(gram)
        product = polynomial @ product
    wide = product.div_(norm) @ wide
    return wide.T if matrix.size(0) > matrix.size(1) else wide


def _polynomial(gram: Tensor) -> Tensor:
    """What an iteration multiplies a matrix by, from its matrix of Gram."""
    linear, cubic, quintic = NEWTON_SCHULZ
    polynomial = torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic)
    polynomial.diagonal().add_(linear)
    return polynomial


def _scratch_bytes(parameter: Tensor) -> int:
    side = min(len(parameter), parameter.numel() // len(parameter))
    copies = 4 if parameter.ndim > 2 else 2
    return copies * parameter.nbytes + 4 * side**2 * parameter.itemsize
