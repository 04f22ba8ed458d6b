"""An imagined objective over the whole design space: worth what a candidate's parameters say, known at once.

Each knob has a best value and a weight, those of the recipe a somewhat different one in each family, and each
family a ceiling of its own; all drawn by a seed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.space import SearchSpace
from convscout.services.samplers.tpe.scale import Scale

NOISE = 0.01  # standard deviation of what is told around what it is worth
SPACE = SearchSpace(
    image=ImageSpec(in_channels=3, image_size=32, num_classes=10, symmetries=("horizontal_flip",))
)


@dataclass
class Imagined:
    """One such objective."""

    seed: int
    _drawn: dict[str, np.ndarray] = field(default_factory=dict)

    def worth(self, trial: Trial) -> float:
        """Of a candidate whose parameters were suggested, without noise."""
        family = trial.params["family"]
        penalties = [
            self._penalty(name, value, trial, family)
            for name, value in trial.params.items()
            if name != "family"
        ]
        return float(0.3 * self._uniform("ceiling", family) - sum(penalties))

    def told(self, trial: Trial) -> float:
        """What a trial of it reports."""
        noise = np.random.default_rng([self.seed, trial.number]).normal()
        return self.worth(trial) + NOISE * float(noise)

    def _penalty(self, name: str, value: object, trial: Trial, family: str) -> float:
        weight = -np.log(1 - self._uniform("weight", name))
        distribution = trial.distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            alone, here = self._uniform(name, str(value)), self._uniform(name, str(value), family)
            return float(0.05 * weight * (alone + here) / 2)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        scale = Scale.of(distribution)
        place = (float(scale.coordinates(np.array(value, float))) - scale.low) / (scale.high - scale.low)
        shift = 0.3 * (self._uniform("shift", name, family) - 0.5)
        best = np.clip(self._uniform("best", name) + shift, 0, 1)
        return float(0.15 * weight * (place - best) ** 2)

    def _uniform(self, *key: str) -> float:
        """A number in [0, 1) that belongs to ``key``."""
        name = "/".join(key)
        if name not in self._drawn:
            self._drawn[name] = np.random.default_rng([self.seed, zlib.crc32(name.encode())]).random(1)
        return float(self._drawn[name][0])
