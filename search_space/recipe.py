"""TrainingRecipe: how a network is trained, whatever its architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any, ClassVar, Self

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec
from convscout.search_space.augmentation import AugmentationConfig, InTurn, augmentations
from convscout.search_space.augmentations.none import NoAugmentation
from convscout.search_space.averaging import AVERAGINGS
from convscout.search_space.configurable import Configurable
from convscout.search_space.errors import ConfigError, Problem
from convscout.search_space.knobs import Choice, Knob, Override, Scalar, Suggester, choice, real
from convscout.search_space.optimizer import OptimizerConfig, optimizers
from convscout.search_space.registry import Registry
from convscout.search_space.schedules import RISING, SCHEDULES, factor_at
from convscout.search_space.size import SpaceSize, either, together

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
LOSSES = ("cross_entropy", "focal")  # those of ``losses.py``
CLASS_WEIGHTS = ("none", "balanced")
BATCH_SIZES = (64, 128, 256, 512, 1024, 2048)
WARMED_UP = tuple(name for name in SCHEDULES if name not in RISING)
REGISTRIES: dict[str, Registry[type[Any]]] = {
    "optimizer": optimizers,
    "augmentation": augmentations,
    "distortion": augmentations,
}


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe(Configurable):
    """Optimizer, schedule, regularization and augmentation of one trial.

    ``augmentation`` and then ``distortion`` change each training batch (see ``AugmentationConfig``).
    ``epochs`` is the full length of the schedule; a pruned trial sees less of it. ``precision``
    "auto" takes what trains this network fastest on the machine that trains it.
    """

    name: ClassVar[str] = "recipe"

    optimizer: OptimizerConfig
    augmentation: AugmentationConfig
    distortion: AugmentationConfig = field(default_factory=NoAugmentation)
    epochs: int = 10
    precision: str = "auto"
    batch_size: int = choice(
        128, BATCH_SIZES, legal=(16, 32, *BATCH_SIZES), help="images a step; large ones where there are many"
    )
    schedule: str = choice(
        "cosine", ("cosine", "linear", "one_cycle"), legal=tuple(SCHEDULES), help="learning rate over time"
    )
    warmup: float = real(
        0.1, low=0.0, high=0.3, maximum=0.9, when={"schedule": WARMED_UP},
        help="share of the steps that warm up",
    )  # fmt: skip
    clipping: str = choice("none", ("none", "norm"), help="what is clipped of the gradient, if anything")
    clip_norm: float = real(
        1.0, low=0.3, high=10.0, log=True, minimum=1e-3, when={"clipping": ("norm",)},
        help="largest norm of the gradient",
    )  # fmt: skip
    averaging: str = choice(
        "none", ("none", "ema"), legal=AVERAGINGS, help="average of weights that is judged and kept"
    )
    ema_decay: float = real(
        0.99, low=0.95, high=0.999, maximum=0.9999, when={"averaging": ("ema",)},
        help="share of the average that a step keeps",
    )  # fmt: skip
    loss: str = choice("cross_entropy", ("cross_entropy",), legal=LOSSES, help="what training makes small")
    focal_gamma: float = real(
        2.0, low=0.5, high=3.0, maximum=10.0, when={"loss": ("focal",)},
        help="how much less confident answers count",
    )  # fmt: skip
    class_weights: str = choice(
        "none", ("none",), legal=CLASS_WEIGHTS, help="weights of the classes in the loss"
    )
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

    @property
    def policies(self) -> InTurn:
        """What is done to a training batch."""
        return InTurn((self.augmentation, self.distortion))

    def rate_at(self, progress: float) -> float:
        """The learning rate once ``progress``, in [0, 1], of the schedule is over."""
        return self.optimizer.learning_rate * factor_at(self.schedule, progress, warmup=self.warmup)

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
        """Sample a recipe for these images: scalar knobs, then its parts."""
        values = cls.suggest_values(suggester, overrides)
        for part, knob in part_knobs(image, overrides).items():
            name = knob.suggest(suggester, f"recipe.{part}") if knob.count() > 1 else knob.default
            values[part] = REGISTRIES[part].get(name).suggest(suggester, overrides)
        return cls(epochs=epochs, precision=precision, **values)

    @classmethod
    def space_size_for(cls, image: ImageSpec, overrides: Mapping[str, Override]) -> SpaceSize:
        """How many recipes ``sample`` can give. Parts of one name share their knobs, as they are sampled by name."""
        registered = (
            [REGISTRIES[part].get(name) for name in sampled_names(knob)]
            for part, knob in part_knobs(image, overrides).items()
        )
        return either(
            together(config.space_size(overrides) for config in {cls, *parts})
            for parts in product(*registered)
        )

    @classmethod
    def proven_for(
        cls,
        image: ImageSpec,
        *,
        epochs: int,
        precision: str,
        overrides: Mapping[str, Override],
        family: type[ArchitectureConfig] | None = None,
    ) -> Self:
        """The recipe to try first, moved into the study's ranges; with networks of ``family`` its own."""
        own = family.proven_recipe if family else {}
        values = _proven(cls.narrowed_knobs(overrides), cls.name, own)
        for part, name in _proven(part_knobs(image, overrides), cls.name, own).items():
            config = REGISTRIES[part].get(name)
            values[part] = config(**_proven(config.narrowed_knobs(overrides), name, own))
        return cls(epochs=epochs, precision=precision, **values)

    def to_dict(self) -> dict[str, Any]:
        scalars = {f.name: getattr(self, f.name) for f in fields(self)}
        parts = {part: getattr(self, part).to_dict() for part in REGISTRIES}
        return {"name": self.name, **scalars, **parts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        parts = {
            part: registry.get(values[part]["name"]).from_dict(values[part])
            for part, registry in REGISTRIES.items()
            if part in values
        }
        return super().from_dict({**values, **parts})


def _proven(knobs: Mapping[str, Knob], prefix: str, own: Mapping[str, Scalar]) -> dict[str, Any]:
    """What ``own`` says by full name, or else the default of each knob, moved into its range."""
    return {
        key: knob.nearest(own[full]) if (full := f"{prefix}.{key}") in own else knob.default
        for key, knob in knobs.items()
    }


def part_knobs(image: ImageSpec, overrides: Mapping[str, Override]) -> dict[str, Knob]:
    """Which optimizer, augmentation and distortion: choices over the registries, narrowed by the study.

    Policies that need a symmetry these images do not have are left out.
    """
    moves = fitting_policies("augmentation", image)
    preferred = next(name for name in ("crop_flip", "crop", *moves) if name in moves)
    knobs: dict[str, Knob] = {
        "optimizer": _part("muon", optimizers, optimizers.names(), "update rule"),
        "augmentation": _part(preferred, augmentations, moves, "how training images are moved"),
        "distortion": _part(
            "none", augmentations, fitting_policies("distortion", image), "what else is done to them"
        ),
    }
    for key, knob in knobs.items():
        if (override := overrides.get(f"recipe.{key}")) is not None:
            try:
                knobs[key] = knob.narrowed(override)
            except ValueError as error:
                raise ConfigError([Problem(field=f"recipe.{key}", value=override, rule=str(error))]) from None
    return knobs


def sampled_names(part: Knob) -> tuple[str, ...]:
    """The names that one of ``part_knobs`` is sampled from."""
    return getattr(part, "choices", (part.default,))


def fitting_policies(part: str, image: ImageSpec) -> tuple[str, ...]:
    """The names of the policies that can be ``part`` of a recipe and keep the labels of these images true."""
    return tuple(
        name
        for name, policy in augmentations.items()
        if part in policy.parts and set(policy.needs) <= set(image.symmetries)
    )


def _part(default: str, registry: Registry[type[Any]], legal: tuple[str, ...], help: str) -> Knob:
    """A choice among those of ``legal`` that are searched; a study can name any of them."""
    searched = tuple(name for name in legal if registry.get(name).searched)
    return Choice(default=default, choices=searched, legal=legal, help=help)
