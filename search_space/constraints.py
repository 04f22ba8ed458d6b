"""Limits: what a candidate may cost, checked before it is ever dispatched."""

from __future__ import annotations

from dataclasses import dataclass, fields

from convscout.search_space.complexity import Complexity
from convscout.search_space.errors import LimitExceededError

_TEXTS = {
    "max_params": "{:,} params",
    "max_flops": "{:,} multiply-adds an image",
    "max_memory": "{:,} bytes of training memory",
    "max_latency": "{:.3g} s for an image",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a candidate may cost; None is no limit.

    ``max_flops`` bounds the multiply-adds of one image, ``max_memory`` the bytes at the peak of a
    training step, ``max_latency`` the seconds of one image's forward pass (see ``measure_latency``).
    """

    max_params: int | None = None
    max_flops: int | None = None
    max_memory: int | None = None
    max_latency: float | None = None

    def check(self, complexity: Complexity, *, latency_s: float | None = None) -> None:
        """Raise ``LimitExceededError``, which names each limit exceeded, the value and what is allowed.

        The limit on latency is passed over while ``latency_s`` is not known.
        """
        costs = {
            "max_params": complexity.params,
            "max_flops": complexity.flops,
            "max_memory": complexity.peak_train_bytes,
            "max_latency": latency_s,
        }
        excesses, texts = {}, []
        for limit in fields(self):
            value, allowed = costs[limit.name], getattr(self, limit.name)
            if allowed is not None and value is not None and value > allowed:
                excesses[limit.name] = value / allowed - 1
                texts.append(f"{_TEXTS[limit.name].format(value)} exceed {limit.name} = {allowed:,}")
        if excesses:
            raise LimitExceededError("; ".join(texts), excess=excesses)
