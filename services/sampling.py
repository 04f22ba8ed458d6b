"""The registry of samplers: how the next candidate is proposed."""

from __future__ import annotations

from collections.abc import Callable

from optuna.samplers import BaseSampler

from search_space.registry import Registry

# A factory takes the seed of one proposal.
SamplerFactory = Callable[[int], BaseSampler]

samplers: Registry[SamplerFactory] = Registry(
    "sampler", package="services.samplers", group="convscout.samplers"
)
