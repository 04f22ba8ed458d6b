"""Initialization: how weights start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import nn


def he_normal(conv: nn.Conv2d) -> None:
    """He et al. (2015), "Delving Deep into Rectifiers", section 2.2, in its fan-out form."""
    fan_out = conv.out_channels * math.prod(conv.kernel_size) // conv.groups
    nn.init.normal_(conv.weight, std=math.sqrt(2 / fan_out))


def xavier_normal(conv: nn.Conv2d) -> None:
    """Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward networks", section
    4.2, drawn from a normal instead of a uniform distribution.
    """
    nn.init.xavier_normal_(conv.weight)


def orthogonal(conv: nn.Conv2d) -> None:
    """Saxe et al. (2014), "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
    scaled for ReLU.
    """
    nn.init.orthogonal_(conv.weight, gain=math.sqrt(2))


@torch.no_grad()
def dirac(conv: nn.Conv2d) -> None:
    """Filters that pass on a map each, as many as there are maps; the others after He (Jordan, 2024, section 3.3)."""
    he_normal(conv)
    if conv.groups == 1:
        nn.init.dirac_(conv.weight[: conv.in_channels])
    else:
        nn.init.dirac_(conv.weight, conv.groups)


def small_normal(conv: nn.Conv2d) -> None:
    """Krizhevsky et al. (2012), section 5."""
    nn.init.normal_(conv.weight, std=0.01)


INITS: dict[str, Callable[[nn.Conv2d], None]] = {
    "he": he_normal,
    "xavier": xavier_normal,
    "orthogonal": orthogonal,
    "dirac": dirac,
    "small_normal": small_normal,
    "zero_residual": he_normal,  # and then residual blocks are silenced
}


@runtime_checkable
class Silenced(Protocol):
    """A residual block that can start as the identity."""

    def silence(self) -> None:
        """Let the branch start as zero."""


def silence(branch: nn.Module) -> None:
    """Let a branch that is added to its input start as zero: by the norm it ends with, if that learns, else by its last
    filters.

    Goyal et al. (2017), "Accurate, Large Minibatch SGD", section 5.1; Zhang et al. (2019), "Fixup", section 3.
    """
    *_, last = (
        module
        for module in branch.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.GroupNorm) and module.weight.requires_grad
    )
    nn.init.zeros_(last.weight)


def initialize(model: nn.Module, init: str = "he") -> None:
    """Draw all weights anew: filters as ``init`` says, matrices so as to keep variance, biases zero."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            INITS[init](module)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    if init == "zero_residual":
        for module in model.modules():
            if isinstance(module, Silenced):
                module.silence()
