"""Limits: what a candidate may cost, checked before it is ever dispatched."""

from __future__ import annotations

from dataclasses import dataclass, fields

from search_space.complexity import Complexity
from search_space.errors import LimitExceededError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a candidate may cost in each measure of ``Complexity``; None is no limit."""

    max_params: int | None = None
    max_flops: int | None = None
    max_peak_train_bytes: int | None = None

    def check(self, complexity: Complexity) -> None:
        """Raise ``LimitExceededError``, which names each limit exceeded, the value and what is allowed."""
        excesses, texts = {}, []
        for limit in fields(self):
            measure = limit.name.removeprefix("max_")
            value, allowed = getattr(complexity, measure), getattr(self, limit.name)
            if allowed is not None and value > allowed:
                excesses[limit.name] = value / max(allowed, 1) - 1
                texts.append(f"{measure} {value:,} exceeds {limit.name} = {allowed:,}")
        if excesses:
            raise LimitExceededError("; ".join(texts), excess=excesses)
