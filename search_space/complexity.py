"""Complexity: what a candidate costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """Cost of one network.

    ``params`` counts trainable numbers; ``flops`` multiply-adds of one image's forward pass, without
    auxiliary heads; ``activations`` the numbers that convolutions and linear layers put out in it;
    ``peak_train_bytes`` the memory that training takes, as ``complexity_meter.py`` estimates it.
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
