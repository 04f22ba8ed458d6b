"""TrialConfig, Measurement and TrialResult: the values that travel between controller and worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

from convscout.search_space.architecture import ArchitectureConfig, architecture_from_dict
from convscout.search_space.recipe import REGISTRIES, TrainingRecipe
from convscout.trials.end_reason import EndReason


class TrialState(StrEnum):
    """What became of a trial. All but RUNNING are final."""

    RUNNING = "running"
    COMPLETED = "completed"  # trained all its epochs
    STOPPED = "stopped"  # by the pruner or the budget; its best epoch still counts
    FAILED = "failed"  # error, divergence or lost worker; never best
    REJECTED = "rejected"  # over a limit; never trained

    @classmethod
    def after(cls, reason: EndReason) -> TrialState:
        """The state that a trial is in once it ended for ``reason``."""
        return _AFTER[reason]

    @property
    def scored(self) -> bool:
        """Whether the trial has a validation score to compare and to ensemble."""
        return self in (TrialState.COMPLETED, TrialState.STOPPED)


_REASONS = {
    TrialState.COMPLETED: (EndReason.COMPLETED, EndReason.SHORTENED),
    TrialState.STOPPED: (
        EndReason.PRUNED,
        EndReason.FORECAST,
        EndReason.BY_HAND,
        EndReason.OUT_OF_TIME,
        EndReason.BUDGET_SPENT,
        EndReason.TARGET_REACHED,
        EndReason.CONVERGED,
    ),
    TrialState.FAILED: (
        EndReason.DIVERGED,
        EndReason.OUT_OF_MEMORY,
        EndReason.ERROR,
        EndReason.WORKER_LOST,
        EndReason.DATA_CHANGED,
    ),
    TrialState.REJECTED: (
        EndReason.LIMIT_EXCEEDED,
        EndReason.TOO_SLOW,
        EndReason.TOO_LONG,
        EndReason.NO_ROOM,
        EndReason.NOT_SCOUTED,
        EndReason.DUPLICATE,
        EndReason.UNBUILDABLE,
        EndReason.UNCOMMITTED,
    ),
}
_AFTER = {reason: state for state, reasons in _REASONS.items() for reason in reasons}


class TrialPhase(StrEnum):
    """In which phase of a search a trial is trained, and so how thoroughly."""

    SCOUT = "scout"  # briefly and on a part of the images, to tell which networks are worth more
    CONTENDER = "contender"  # for all its epochs and on all images, as in a search without scouts
    CONTROL = "control"  # as a contender, chosen without looking at the data: the best known recipe


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Everything that defines a trial; a worker is sent this, never a model.

    ``number`` is the trial's number in the ledger, ``attempt`` counts from 1 and rises each time the
    trial is taken up again, ``dataset`` is the fingerprint of the data it must see, ``objective`` the
    quality (``trials/evaluation/qualities.py``) by which its best epoch is chosen. It trains on
    ``images_share`` of the training images, in (0, 1].
    """

    number: int
    attempt: int
    dataset: str
    architecture: ArchitectureConfig
    recipe: TrainingRecipe
    seed: int
    objective: str = "accuracy"
    phase: TrialPhase = TrialPhase.CONTENDER
    images_share: float = 1.0

    def next_attempt(self) -> Self:
        """The same trial, taken up again."""
        return replace(self, attempt=self.attempt + 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "number": self.number,
            "attempt": self.attempt,
            "dataset": self.dataset,
            "seed": self.seed,
            "objective": self.objective,
            "phase": str(self.phase),
            "images_share": self.images_share,
            "architecture": self.architecture.to_dict(),
            "recipe": self.recipe.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        parts = {
            "architecture": architecture_from_dict(values["architecture"]),
            "recipe": TrainingRecipe.from_dict(values["recipe"]),
            "phase": TrialPhase(values.get("phase", TrialPhase.CONTENDER)),
        }
        return cls(**{**values, **parts})

    def flat(self) -> dict[str, Any]:
        """Every setting under a prefixed name (``resnet.width``, ``sgd.momentum``), for tables and MLflow."""
        return flatten(self.to_dict())


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``TrialConfig.flat`` gives, of one as ``to_dict`` wrote it, which is read without building it.

    What an earlier version did not write is left out.
    """
    recipe = dict(config["recipe"])
    parts = {name: recipe.pop(name) for name in REGISTRIES if name in recipe}
    flat = {"family": config["architecture"]["name"], "seed": config["seed"]}
    if (phase := config.get("phase", TrialPhase.CONTENDER)) != TrialPhase.CONTENDER:
        flat |= {"phase": phase, "images_share": config["images_share"]}
    flat |= {f"recipe.{name}": part["name"] for name, part in parts.items()}
    for part in (config["architecture"], recipe, *parts.values()):
        flat |= {f"{part['name']}.{key}": value for key, value in part.items() if key != "name"}
    return flat


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one epoch showed.

    ``epoch`` counts from 1. Losses are means an image: ``val_loss`` the cross entropy in nats,
    ``train_loss`` whatever the recipe makes small. The other ``val_`` values are those of
    ``trials/evaluation/metrics.py``. ``elapsed_s`` is training and validation time since
    the trial began, over all its attempts; ``images_per_s`` is the training rate of this epoch, and
    ``precision`` the number format and memory layout it was computed in ("bfloat16 channels-last").
    ``eager_reason`` says why its steps could not be recorded as a CUDA graph, empty where they were or need not be.
    ``share`` is the part of the training images that it saw: less than 1 where the time ended within it.
    ``last`` says that the time ended the trial's schedule with this epoch.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    val_macro_f1: float
    val_calibration_error: float
    learning_rate: float
    elapsed_s: float
    images_per_s: float
    precision: str
    share: float = 1.0
    last: bool = False
    eager_reason: str = ""

    @property
    def computed_in(self) -> str:
        """Precision and ``eager_reason``, for a person."""
        return f"{self.precision}, eager: {self.eager_reason}" if self.eager_reason else self.precision

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the first steps of a trial tell: each of its epochs will take ``epoch_s`` seconds."""

    epoch_s: float


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """How a trial ended, as its worker tells it.

    ``code`` is None when it could not go on for no fault of its own; it is then still RUNNING. ``error`` is one line,
    empty if it was COMPLETED.
    """

    number: int
    attempt: int
    code: EndReason | None
    error: str = ""

    @property
    def state(self) -> TrialState:
        """What became of the trial."""
        return TrialState.RUNNING if self.code is None else TrialState.after(self.code)
