"""MachineSpeed: how fast a machine trains reference networks, measured by some of their steps.

What a study plans (epochs, families, sizes, how many images to read) goes by these figures, so that it fits the machine
that it runs on. They are of 32 × 32 images in three channels; other networks and images are compared with them by
what they cost (``services/search/runtime_model.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Self

import torch

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.complexity import Complexity
from convscout.search_space.complexity_meter import measure
from convscout.search_space.losses import focal_loss
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.allocator import kept_memory
from convscout.trials.compute.precision import Precision, choose_precision
from convscout.trials.compute.threads import computing_threads, spread_over_threads
from convscout.trials.evaluation.probabilities import answers_of
from convscout.trials.training.first_steps import JUDGING
from convscout.trials.training.loop import TrainingState, make_step

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10)
BATCH_SIZE = 128
FEW_IMAGES, MORE_IMAGES = 8, 32  # of the steps that are timed
LEAST_SHARE = (
    0.05  # of the time of few images goes into them, and as much into the step, however the clock jumps
)
SMALLEST, MAIN = "small speednet", "speednet"
# From the smallest to those that take longest.
REFERENCES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    SMALLEST: ("speednet", dict(width1=16, width2=32, width3=64)),
    MAIN: ("speednet", dict(width1=32, width2=128, width3=128)),
    "resnet": ("resnet", {}),
}
# What ``time_interpreter`` takes on the machines that fixed costs were measured on.
USUAL_INTERPRETER_S = 0.075

StepTimer = Callable[[int], float]  # seconds of a training step on so many images


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One network, what it costs, and the seconds that training takes on one thread: a step, and each of its images."""

    name: str
    complexity: Complexity
    step_s: float
    image_s: float

    @property
    def images_per_s(self) -> float:
        """The rate in steps of ``BATCH_SIZE`` images."""
        return 1 / (self.image_s + self.step_s / BATCH_SIZE)


@dataclass(frozen=True, kw_only=True)
class MachineSpeed:
    """``references`` on one thread of ``device``; on all ``threads``, ``main`` answers ``answers_per_s`` images/s.

    On a GPU threads do not matter. ``precision`` is the format that they were computed in. ``interpreter_s`` is what
    ``time_interpreter`` took.
    """

    device: str
    threads: int
    precision: str
    references: tuple[Reference, ...]
    answers_per_s: float
    interpreter_s: float

    @property
    def overhead(self) -> float:
        """How many times as long as usual everything takes that is no training: once at least."""
        return max(1.0, self.interpreter_s / USUAL_INTERPRETER_S)

    @property
    def answering(self) -> float:
        """How many times as fast as a network trains on one thread it answers on all, in the same format."""
        return self.answers_per_s / self.main.images_per_s

    @property
    def exactly(self) -> float:
        """The same where it answers in float32: half the numbers a second, and the way back saved, make it even."""
        return self.answering if self.precision.startswith("float32") else 1.0

    @property
    def main(self) -> Reference:
        """The network that people are told of."""
        return describe_of(self.references)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        references = tuple(
            Reference(**{**each, "complexity": Complexity.from_dict(each["complexity"])})
            for each in values["references"]
        )
        return cls(**{**values, "references": references})


def measure_speed(
    device: torch.device, threads: int, *, patience_s: float, clock: Callable[[], float] = time.monotonic
) -> MachineSpeed:
    """Train each reference for a few steps, the smallest first; none is begun after ``patience_s``."""
    began, references = clock(), list[Reference]()
    with kept_memory():
        for name in REFERENCES:
            if references and clock() - began > patience_s:
                break
            references.append(measure_reference(name, device))
        main = describe_of(references)
        return MachineSpeed(
            device=device.type,
            threads=threads,
            precision=choose_precision("auto", device).name,
            references=tuple(references),
            answers_per_s=measure_answers(main, device, threads),
            interpreter_s=min(time_interpreter(), time_interpreter()),
        )


def measure_reference(name: str, device: torch.device) -> Reference:
    """Train the reference called ``name`` for four small steps."""
    architecture, recipe = reference(name)
    forked = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with kept_memory(), forked, computing_threads(1):
        torch.manual_seed(0)
        step_s, image_s = time_steps(step_timer(architecture, recipe, device))
    cost = measure(architecture, recipe, IMAGE, dtype=choose_precision("auto", device).dtype)
    return Reference(name=name, complexity=cost, step_s=step_s, image_s=image_s)


def measure_answers(main: Reference, device: torch.device, threads: int) -> float:
    """Images/s that ``main`` answers where each of ``threads`` has images of its own, as when a search ends."""
    if device.type == "cuda":
        return main.images_per_s / JUDGING
    precision = choose_precision("auto", device)
    with torch.random.fork_rng([]):
        model = reference(main.name)[0].build(IMAGE).to(memory_format=precision.layout)
    images = torch.zeros(MORE_IMAGES, IMAGE.in_channels, IMAGE.image_size, IMAGE.image_size)

    def answer(round: int) -> None:
        answers_of(model, images, precision)

    with computing_threads(threads):
        list(spread_over_threads(answer, range(threads)))  # warms up
        began, rounds = time.perf_counter(), 4 * threads
        list(spread_over_threads(answer, range(rounds)))
    return rounds * MORE_IMAGES / (time.perf_counter() - began)


def time_interpreter() -> float:
    """Seconds of a little work in Python, which costs that are no training go by."""
    began = time.perf_counter()
    table: dict[int, str] = {}
    for number in range(500_000):
        table[number % 1000] = str(number)
    return time.perf_counter() - began


def time_steps(timer: StepTimer) -> tuple[float, float]:
    """Seconds of a step, whatever its size, as of its optimizer, and of each image in it: told by two sizes."""
    few_s = min(timer(FEW_IMAGES), timer(FEW_IMAGES))  # the first warms up
    more_s = min(timer(MORE_IMAGES), timer(MORE_IMAGES))
    image_s = (more_s - few_s) / (MORE_IMAGES - FEW_IMAGES)
    images_s = min(max(FEW_IMAGES * image_s, LEAST_SHARE * few_s), (1 - LEAST_SHARE) * few_s)
    return few_s - images_s, images_s / FEW_IMAGES


def describe_of(references: Sequence[Reference]) -> Reference:
    """The network that people are told of: the one they know, if the machine was fast enough to measure it."""
    return next((each for each in references if each.name == MAIN), references[0])


def reference(name: str) -> tuple[ArchitectureConfig, TrainingRecipe]:
    """The network called ``name`` among the references, and the recipe that it is trained after."""
    family, knobs = REFERENCES[name]
    recipe = TrainingRecipe.proven_for(IMAGE, epochs=1, precision="auto", overrides={})
    return families.get(family)(**knobs), recipe


def step_timer(architecture: ArchitectureConfig, recipe: TrainingRecipe, device: torch.device) -> StepTimer:
    """Times steps of a fresh network on random images of 32 × 32 pixels."""
    precision = choose_precision("auto", device)
    model = architecture.build(IMAGE).train().to(device).to(memory_format=precision.layout)
    state = TrainingState.of(model, recipe)
    loss = partial(focal_loss, gamma=0.0, label_smoothing=recipe.label_smoothing, weights=None)
    step = make_step(state, loss, recipe, precision, None)

    def step_s(count: int) -> float:
        shape = (count, IMAGE.in_channels, IMAGE.image_size, IMAGE.image_size)
        images = torch.randn(shape, device=device)
        targets = torch.full((count, IMAGE.num_classes), 1 / IMAGE.num_classes, device=device)
        began = _clock(precision)
        step(images, targets, 1)
        return _clock(precision) - began

    return step_s


def _clock(precision: Precision) -> float:
    if precision.device.type == "cuda":
        torch.cuda.current_stream(precision.device).synchronize()
    return time.perf_counter()
