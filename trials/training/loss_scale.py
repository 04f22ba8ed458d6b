"""LossScale: keeps the small gradients of float16 from becoming zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

FIRST = 2.0**12  # 2 ** 16, as torch has it, costs the first steps of most networks
GROWTH, BACKOFF = 2.0, 0.5
PATIENCE = 1000  # steps without an overflow after which the scale grows


class LossScale:
    """A factor on the loss, halved by an overflow of the gradients and doubled after many steps without.

    Micikevicius et al. (2018), "Mixed Precision Training", section 3.2. It does what ``torch.amp.GradScaler``
    does, but never reads anything back, so that a graph can record it and nothing waits for the GPU. Deviation:
    a step whose gradients overflowed is not left out, its gradients count as zero.
    """

    def __init__(self, device: torch.device) -> None:
        self._scale = torch.full((), FIRST, device=device)
        self._steps = torch.zeros((), dtype=torch.int32, device=device)  # since it last changed

    def scaled(self, loss: Tensor) -> Tensor:
        """``loss`` times the factor."""
        return loss * self._scale

    @torch.no_grad()
    def unscale(self, gradients: Sequence[Tensor]) -> None:
        """Take the factor out of ``gradients``, in place, and adapt it."""
        gradients = list(gradients)
        overflowed = torch.zeros_like(self._scale)
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, overflowed, self._scale.reciprocal())
        useless = overflowed.bool()
        for gradient in gradients:
            gradient.masked_fill_(useless, 0.0)
        torch._amp_update_scale_(self._scale, self._steps, overflowed, GROWTH, BACKOFF, PATIENCE)

    def state_dict(self) -> dict[str, Tensor]:
        """What it takes to go on."""
        return {"scale": self._scale, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self._scale.copy_(state["scale"])
        self._steps.copy_(state["steps"])
