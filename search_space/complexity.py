"""Complexity: what a candidate costs, computed from its config on the meta device, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """Cost of one network.

    ``params`` counts trainable numbers; ``flops`` multiply-adds of one image's forward pass;
    ``activations`` the numbers that convolutions and linear layers put out for one image;
    ``peak_train_bytes`` the estimated memory of one training step at the batch size asked for.
    """

    params: int
    flops: int
    activations: int
    peak_train_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(**values)
