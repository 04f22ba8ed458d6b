"""Orthogonalization: about the nearest orthogonal matrix, by multiplications alone.

Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim._muon import _zeropower_via_newtonschulz as orthogonalize_in_bfloat16

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of its quintic
ITERATIONS, SMALLEST_NORM = 5, 1e-7


def orthogonalize(matrix: Tensor, *, iterations: int = ITERATIONS) -> Tensor:
    """About the orthogonal matrix nearest to ``matrix``, of the same shape, by ``iterations`` of Newton and Schulz.

    A GPU computes in bfloat16, as its tensor cores do best. A CPU computes in float32: many emulate bfloat16, which
    takes 20 to 40 times as long. Then the iterations work on the small square matrix of Gram, of which each is a
    polynomial P; their product turns the matrix at once. That takes half the multiplications.
    """
    if matrix.is_cuda:
        return orthogonalize_in_bfloat16(matrix, NEWTON_SCHULZ, iterations, SMALLEST_NORM)
    wide = matrix.T if matrix.size(0) > matrix.size(1) else matrix
    gram = wide @ wide.T
    norm = gram.trace().sqrt().clamp(min=SMALLEST_NORM)
    gram /= norm**2
    product = polynomial = _polynomial(gram)
    for _ in range(iterations - 1):
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


@torch.no_grad()
def update_matrices(
    optimizer: Optimizer,
    least_dimensions: int,
    update: Callable[[Tensor, Tensor, dict[str, Any], dict[str, Any]], None],
) -> None:
    """Let ``update`` change in place each parameter that has a gradient and so many dimensions, as a matrix.

    It is given the matrix (out, in · height · width), its gradient, what ``optimizer`` keeps of it, and its group.
    Afterwards the gradient is gone, so that the step of the optimizer itself passes the parameter over.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.ndim >= least_dimensions and parameter.grad is not None:
                matrix = parameter.flatten(1)
                update(matrix, parameter.grad.flatten(1), optimizer.state[parameter], group)
                if matrix.data_ptr() != parameter.data_ptr():  # flattening copies what is channels-last
                    parameter.copy_(matrix.view_as(parameter))
                parameter.grad = None


def orthogonalizing_bytes(parameter: Tensor) -> int:
    """What ``orthogonalize`` of a ``parameter`` takes meanwhile."""
    side = min(len(parameter), parameter.numel() // len(parameter))
    copies = 4 if parameter.ndim > 2 else 2
    return copies * parameter.nbytes + 4 * side**2 * parameter.itemsize
