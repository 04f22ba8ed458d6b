"""TrainingRecipe: how a network is trained, whatever its architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

from search_space.architecture import ImageSpec
from search_space.augmentation import AugmentationConfig, augmentation_from_dict, augmentations
from search_space.configurable import Configurable
from search_space.errors import ConfigError, Problem
from search_space.knobs import Choice, Knob, Override, Suggester, choice, real
from search_space.optimizer import OptimizerConfig, optimizer_from_dict, optimizers
from search_space.schedules import SCHEDULES

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe(Configurable):
    """Optimizer, schedule, regularization and augmentation of one trial.

    ``epochs`` is the full length of the schedule; a pruned trial sees less of it. ``precision``
    "auto" takes bfloat16 where the device computes it natively, and float32 elsewhere.
    """

    name: ClassVar[str] = "recipe"

    optimizer: OptimizerConfig
    augmentation: AugmentationConfig
    epochs: int = 10
    precision: str = "auto"
    batch_size: int = choice(
        128, (64, 128, 256), legal=(16, 32, 64, 128, 256, 512, 1024), help="images a step"
    )
    schedule: str = choice(
        "cosine", ("cosine", "linear"), legal=tuple(SCHEDULES), help="learning rate over time"
    )
    warmup: float = real(0.1, low=0.0, high=0.3, maximum=0.9, help="share of the steps that warm up")
    label_smoothing: float = real(
        0.05, low=0.0, high=0.2, maximum=0.9, help="mass given to the other classes"
    )

    def conflicts(self) -> list[Problem]:
        problems = []
        if not (isinstance(self.epochs, int) and self.epochs >= 1):
            problems.append(
                Problem(field="recipe.epochs", value=self.epochs, rule="must be a whole number >= 1")
            )
        if self.precision not in PRECISIONS:
            rule = f"must be one of {', '.join(PRECISIONS)}"
            problems.append(Problem(field="recipe.precision", value=self.precision, rule=rule))
        return problems

    def with_epochs(self, epochs: int) -> Self:
        """The same recipe over another number of epochs."""
        return replace(self, epochs=epochs)

    @classmethod
    def sample(
        cls,
        suggester: Suggester,
        image: ImageSpec,
        *,
        epochs: int,
        precision: str,
        overrides: Mapping[str, Override],
    ) -> Self:
        """Sample a recipe for these images: scalar knobs, then an optimizer and an augmentation."""
        values = cls.suggest_values(suggester, overrides)
        parts = part_knobs(image, overrides)
        optimizer = parts["optimizer"].suggest(suggester, "recipe.optimizer")
        augmentation = parts["augmentation"].suggest(suggester, "recipe.augmentation")
        return cls(
            epochs=epochs,
            precision=precision,
            optimizer=optimizers.get(optimizer).suggest(suggester, overrides),
            augmentation=augmentations.get(augmentation).suggest(suggester, overrides),
            **values,
        )

    @classmethod
    def proven_for(
        cls, image: ImageSpec, *, epochs: int, precision: str, overrides: Mapping[str, Override]
    ) -> Self:
        """The recipe to try first, moved into the study's ranges."""
        parts = part_knobs(image, overrides)
        return cls(
            epochs=epochs,
            precision=precision,
            optimizer=optimizers.get(parts["optimizer"].default).proven(overrides),
            augmentation=augmentations.get(parts["augmentation"].default).proven(overrides),
            **{key: knob.default for key, knob in cls.narrowed_knobs(overrides).items()},
        )

    def to_dict(self) -> dict[str, Any]:
        scalars = {f.name: getattr(self, f.name) for f in fields(self)}
        parts = {"optimizer": self.optimizer.to_dict(), "augmentation": self.augmentation.to_dict()}
        return {"name": self.name, **scalars, **parts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        parts = {
            "optimizer": optimizer_from_dict(values["optimizer"]),
            "augmentation": augmentation_from_dict(values["augmentation"]),
        }
        return super().from_dict({**values, **parts})


def part_knobs(image: ImageSpec, overrides: Mapping[str, Override]) -> dict[str, Knob]:
    """Which optimizer and which augmentation: choices over the registries, narrowed by the study.

    Policies that need a symmetry these images do not have are left out.
    """
    fitting = tuple(
        key for key, policy in augmentations.items() if set(policy.needs) <= set(image.symmetries)
    )
    preferred = next((key for key in ("crop_flip", "crop") if key in fitting), fitting[0])
    knobs: dict[str, Knob] = {
        "optimizer": Choice(
            default="sgd", choices=optimizers.names(), legal=optimizers.names(), help="update rule"
        ),
        "augmentation": Choice(
            default=preferred, choices=fitting, legal=fitting, help="how training images are varied"
        ),
    }
    for key, knob in knobs.items():
        if (override := overrides.get(f"recipe.{key}")) is not None:
            try:
                knobs[key] = knob.narrowed(override)
            except ValueError as error:
                raise ConfigError([Problem(field=f"recipe.{key}", value=override, rule=str(error))]) from None
    return knobs
