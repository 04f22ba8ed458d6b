"""Parzen estimators: the density of a few knobs, told from the values that they had in trials.

A mixture of one kernel a trial and a broad one, the prior, over all of the range (Bergstra et al., 2011,
"Algorithms for Hyper-Parameter Optimization", section 4). A kernel is a product over the knobs: of truncated
normal distributions for numbers, on a logarithmic line where the knob is logarithmic, and of nearly one-hot ones
for names. Bandwidths, weights and smoothing are those of Optuna (Watanabe, 2023, "Tree-Structured Parzen
Estimator: Understanding Its Algorithm Components and Their Roles for Better Empirical Performance", section 3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy.special import ndtr, ndtri

from convscout.services.samplers.tpe.scale import Scale

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_FULL = 25  # trials, the latest, of full weight; those before them fade
_NARROWEST = 100  # of all kernels that much narrower than the range
_LEAST_MASS = 1e-300  # so that what is all but impossible has a logarithm


def recency(count: int) -> Array:
    """The weights of ``count`` trials in the order of their numbers."""
    return np.concatenate(
        (np.linspace(1 / max(count, 1), 1, max(count - _FULL, 0)), np.ones(min(count, _FULL)))
    )


class Kernels(ABC):
    """One kernel a trial in one knob, and the prior after them.

    Values are numbers, or the indices of names.
    """

    @abstractmethod
    def sample(self, kernels: Indices, rng: np.random.Generator) -> Array:
        """A value of each of ``kernels``, by index."""

    @abstractmethod
    def log_density(self, values: Array) -> Array:
        """Of each value under each kernel, up to a constant: (values, kernels)."""


@dataclass(frozen=True, kw_only=True)
class Normals(Kernels):
    """Normal distributions on the line of ``scale``, truncated to its ends."""

    scale: Scale
    means: Array
    sigmas: Array

    @classmethod
    def around(cls, values: Array, scale: Scale, count: int) -> Normals:
        """Each as wide as the gap to the farther neighbour, within bounds. ``values`` stand for ``count`` trials."""
        low, high = scale.low, scale.high
        means = scale.coordinates(values)
        order = np.argsort(means, kind="stable")
        gaps = np.diff(np.concatenate(([low], means[order], [high])))
        widths = np.maximum(gaps[:-1], gaps[1:])
        if len(values) > 1:  # the ends of the line are no neighbours
            widths[0], widths[-1] = gaps[1], gaps[-2]
        sigmas = np.empty_like(means)
        sigmas[order] = np.clip(widths, (high - low) / min(_NARROWEST, count + 2), high - low)
        return cls(
            scale=scale,
            means=np.append(means, (low + high) / 2),
            sigmas=np.append(sigmas, high - low),
        )

    def sample(self, kernels: Indices, rng: np.random.Generator) -> Array:
        means, sigmas = self.means[kernels], self.sigmas[kernels]
        low, high = ndtr((self.scale.low - means) / sigmas), ndtr((self.scale.high - means) / sigmas)
        drawn = means + sigmas * ndtri(low + rng.random(len(kernels)) * (high - low))
        return self.scale.values(drawn)

    def log_density(self, values: Array) -> Array:
        whole = _log_mass(self.scale.low, self.scale.high, self.means, self.sigmas)
        if self.scale.step is None:
            z = (self.scale.coordinates(values)[:, None] - self.means) / self.sigmas
            return -0.5 * z * z - (np.log(self.sigmas) + whole)
        # of values in steps there are few, and so of kernels
        cells, cell = np.unique(values, return_inverse=True)
        kernels, kernel = np.unique(self.means + 1j * self.sigmas, return_inverse=True)
        left, right = self.scale.cells(cells)
        masses = _log_mass(left[:, None], right[:, None], kernels.real, kernels.imag)
        return masses[np.ix_(cell, kernel)] - whole


@dataclass(frozen=True, kw_only=True)
class OneHots(Kernels):
    """Distributions over ``num_names`` names, each nearly all on one of ``names``, and an even one."""

    names: Indices
    num_names: int
    smoothing: float

    @classmethod
    def around(cls, values: Array, num_names: int, count: int) -> OneHots:
        """``values`` stand for ``count`` trials."""
        return cls(names=values.astype(np.intp), num_names=num_names, smoothing=1 / (count + 1))

    def sample(self, kernels: Indices, rng: np.random.Generator) -> Array:
        drawn = rng.random(len(kernels)) * (1 + self.num_names * self.smoothing)
        names = np.append(self.names, 0)[kernels]
        even = (drawn >= 1) | (kernels == len(self.names))
        return np.where(even, rng.integers(self.num_names, size=len(kernels)), names).astype(float)

    def log_density(self, values: Array) -> Array:
        total = 1 + self.num_names * self.smoothing
        other, same = np.log(self.smoothing / total), np.log((1 + self.smoothing) / total)
        found = np.full((len(values), len(self.names) + 1), -np.log(self.num_names))
        found[:, :-1] = np.where(values.astype(np.intp)[:, None] == self.names, same, other)
        return found


@dataclass(frozen=True, kw_only=True)
class ParzenEstimator:
    """The density of ``knobs`` together; ``weights`` of the kernels sum to one."""

    knobs: Mapping[str, Kernels]
    weights: Array

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Array],
        distributions: Mapping[str, BaseDistribution],
        *,
        most: int | None = None,
    ) -> ParzenEstimator:
        """From the values of each knob, a trial a row in the order of their numbers.

        With more than ``most`` trials, that many stand for all: evenly chosen, those of more weight more often.
        """
        count = len(next(iter(columns.values())))
        if most is not None and count > most:
            kept, total = _representatives(count, most)
            columns = {name: values[kept] for name, values in columns.items()}
            weights = np.full(most, total / most)
        else:
            weights = recency(count)
            total = weights.sum()
        knobs = {name: _kernels(columns[name], each, count) for name, each in distributions.items()}
        return cls(knobs=knobs, weights=np.append(weights, 1.0) / (total + 1))

    def sample(self, num: int, rng: np.random.Generator) -> dict[str, Array]:
        """So many values of each knob."""
        chosen = rng.choice(len(self.weights), size=num, p=self.weights)
        return {name: kernels.sample(chosen, rng) for name, kernels in self.knobs.items()}

    def log_density(self, values: Mapping[str, Array]) -> Array:
        """Of each row of ``values``, up to a constant that depends on the knobs alone."""
        parts = np.log(self.weights) + sum(
            kernels.log_density(values[name]) for name, kernels in self.knobs.items()
        )
        top = parts.max(axis=1)
        density: Array = np.log(np.exp(parts - top[:, None]).sum(axis=1)) + top
        return density


@lru_cache(maxsize=256)  # of knobs of which all trials have one, the same is asked again and again
def _representatives(count: int, most: int) -> tuple[Indices, float]:
    """Which ``most`` of ``count`` trials stand for all, and the sum of the weights of all."""
    weights = recency(count)
    total = float(weights.sum())
    return np.searchsorted(np.cumsum(weights), (np.arange(most) + 0.5) * total / most), total


def _kernels(values: Array, distribution: BaseDistribution, count: int) -> Kernels:
    if isinstance(distribution, CategoricalDistribution):
        return OneHots.around(values, len(distribution.choices), count)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return Normals.around(values, Scale.of(distribution), count)


def _log_mass(low: Array | float, high: Array | float, means: Array, sigmas: Array) -> Array:
    """Of normal distributions between ``low`` and ``high``; taken on the left side, where small masses are exact."""
    start, end = (low - means) / sigmas, (high - means) / sigmas
    right = start > 0
    start, end = np.where(right, -end, start), np.where(right, -start, end)
    mass: Array = np.log(np.maximum(ndtr(end) - ndtr(start), _LEAST_MASS))
    return mass
