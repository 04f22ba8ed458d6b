"""SearchSpace: the whole of what a study may sample, as one object that proposes candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.configurable import Configurable
from convscout.search_space.errors import ConfigError, Problem, nearest
from convscout.search_space.knobs import Knob, Override, Suggester
from convscout.search_space.recipe import REGISTRIES, TrainingRecipe, part_knobs, sampled_names
from convscout.search_space.size import SpaceSize, either

Candidate = tuple[ArchitectureConfig, TrainingRecipe]


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Families and recipe knobs for one kind of image.

    ``overrides`` maps a knob's full name to a fixed value or to a table with ``low``/``high`` or
    ``choices``: ``{"resnet.width": {"high": 32}, "recipe.optimizer": "sgd"}``.
    """

    image: ImageSpec
    families: tuple[str, ...] = ()
    epochs: int = 10
    precision: str = "auto"
    overrides: Mapping[str, Override] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = self.families or tuple(name for name, family in families.items() if family.searched)
        if len(set(names)) < len(names):
            rule = "names must be different from each other"
            raise ConfigError([Problem(field="families", value=list(names), rule=rule)])
        object.__setattr__(self, "families", names)
        problems = self._find_misnamed()
        try:
            self.knobs()
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)

    @classmethod
    def for_any_image(cls, families: tuple[str, ...], overrides: Mapping[str, Override]) -> Self:
        """The space for images that allow every augmentation. Raises ``ConfigError`` with every bad override."""
        symmetries = tuple({need for _, policy in augmentations.items() for need in policy.needs})
        image = ImageSpec(in_channels=3, image_size=32, num_classes=10, symmetries=symmetries)
        return cls(image=image, families=families, overrides=overrides)

    def suggest(self, suggester: Suggester) -> Candidate:
        """Sample one candidate. Knobs are conditional on the family, optimizer and policy chosen."""
        family = self.families[0]
        if len(self.families) > 1:
            family = suggester.suggest_categorical("family", self.families)
        architecture = families.get(family).suggest(suggester, self.overrides)
        recipe = TrainingRecipe.sample(
            suggester, self.image, epochs=self.epochs, precision=self.precision, overrides=self.overrides
        )
        return architecture, recipe

    def portfolio(self) -> list[Candidate]:
        """Each family's proven configuration with the proven recipe, in the families' order."""
        return [
            (family.proven(self.overrides), self.proven_recipe(family))
            for family in map(families.get, self.families)
        ]

    def proven_recipe(self, family: type[ArchitectureConfig]) -> TrainingRecipe:
        """The recipe to try first with networks of ``family``."""
        return TrainingRecipe.proven_for(
            self.image, epochs=self.epochs, precision=self.precision, overrides=self.overrides, family=family
        )

    def parameters(self, candidate: Candidate) -> dict[str, object]:
        """The sampled parameters, by full name, that make ``suggest`` return ``candidate``."""
        recorder = _Recorder(candidate)
        self.suggest(recorder)
        return recorder.parameters

    def knobs(self) -> dict[str, Knob]:
        """Every knob of the space by full name, narrowed as the study asks.

        Raises ``ConfigError`` with every override that does not fit its knob.
        """
        parts = part_knobs(self.image, self.overrides)
        knobs, problems = {f"recipe.{key}": knob for key, knob in parts.items()}, list[Problem]()
        for config in self._configs(parts):
            try:
                narrowed = config.narrowed_knobs(self.overrides)
            except ConfigError as error:
                problems += error.problems
            else:
                knobs |= {f"{config.name}.{key}": knob for key, knob in narrowed.items()}
        if problems:
            raise ConfigError(problems)
        return knobs

    def family_sizes(self) -> dict[str, SpaceSize]:
        """How many architectures of each family there are to sample."""
        return {name: families.get(name).space_size(self.overrides) for name in self.families}

    def recipe_size(self) -> SpaceSize:
        """How many recipes there are to sample."""
        return TrainingRecipe.space_size_for(self.image, self.overrides)

    def size(self) -> SpaceSize:
        """How many candidates there are to sample: any architecture with any recipe."""
        return either(self.family_sizes().values()) * self.recipe_size()

    def _configs(self, parts: Mapping[str, Knob]) -> list[type[Configurable]]:
        configs: list[type[Configurable]] = [*(families.get(name) for name in self.families), TrainingRecipe]
        for part, knob in parts.items():
            configs += [REGISTRIES[part].get(name) for name in sampled_names(knob)]
        return configs

    def _find_misnamed(self) -> list[Problem]:
        parts = part_knobs(self.image, self.overrides)
        known = {f"recipe.{key}" for key in parts}
        known |= {f"{config.name}.{key}" for config in self._configs(parts) for key in config.knobs()}
        problems = []
        for name, override in self.overrides.items():
            if name not in known:
                near = nearest(name, known)
                hint = f"; did you mean {near!r}?" if near else ""
                rule = f"must be the full name of a knob of this study (see `convscout space`){hint}"
                problems.append(Problem(field=name, value=override, rule=rule))
        return problems


class _Recorder:
    """A suggester that answers with a known candidate's values and writes down what it was asked."""

    def __init__(self, candidate: Candidate) -> None:
        architecture, recipe = candidate
        self.parameters: dict[str, object] = {}
        parts: dict[str, Configurable] = {part: getattr(recipe, part) for part in REGISTRIES}
        self._values: dict[str, Any] = {"family": architecture.name}
        self._values |= {f"recipe.{part}": config.name for part, config in parts.items()}
        for config in (architecture, recipe, *parts.values()):
            for key in config.knobs():
                self._values[f"{config.name}.{key}"] = getattr(config, key)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        value: int = self._answer(name)
        return value

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value: float = self._answer(name)
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._answer(name)

    def _answer(self, name: str) -> Any:
        self.parameters[name] = self._values[name]
        return self._values[name]
