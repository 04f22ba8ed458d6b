"""Studies whose trials are imagined: proposed, committed and told for real, and worth what their parameters say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.complexity import Complexity
from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.ledger.ledger import Ledger
from convscout.services.plugins import pruners, samplers
from convscout.services.samplers.base import SamplerFactory, SamplingTask
from convscout.trials.config import TrialConfig
from convscout.trials.end_reason import EndReason
from tests.support.records import measurement
from tests.support.studies import tiny_config

IMAGE = ImageSpec(in_channels=3, image_size=32, num_classes=10, symmetries=("horizontal_flip",))
WHOLE = SearchSpace(image=IMAGE, epochs=4)
PARTS = {"recipe.optimizer": "sgd", "recipe.augmentation": "crop_flip", "recipe.distortion": "none"}
ONE_FAMILY = SearchSpace(image=IMAGE, families=("resnet",), epochs=4, overrides=PARTS)
FREE = {"lenet.width": {"choices": [4, 6, 8]}, "recipe.batch_size": {"choices": [64, 128]}}
NEVER = pruners.get("none")()
COST = Complexity(params=1, flops=1, activations=1, peak_train_bytes=1)

BEST_RATE = 0.03

Worth = Callable[[Mapping[str, Any]], float]


def finite_space() -> SearchSpace:
    """LeNets of three widths, trained in batches of two sizes."""
    knobs = SearchSpace(image=IMAGE, families=("lenet",), overrides=PARTS).knobs()
    fixed = {name: knob.default for name, knob in knobs.items()}
    return SearchSpace(image=IMAGE, families=("lenet",), epochs=4, overrides=fixed | PARTS | FREE)


def task_of(sampler: str, **facts: Any) -> SamplingTask:
    """One that suits ``sampler``, of the whole space if it can do that."""
    space = {"gp": ONE_FAMILY, "cmaes": ONE_FAMILY, "grid": finite_space()}.get(sampler, WHOLE)
    return SamplingTask(**{"space": space, "num_objectives": 2 if sampler == "nsga2" else 1, **facts})


def factory(task: SamplingTask, sampler: str) -> SamplerFactory:
    return samplers.get(sampler)(task).fresh


def new_study(home: Path, task: SamplingTask) -> Ledger:
    """A study with the objectives of ``task``."""
    objective = ("accuracy", "params", "flops")[: task.num_objectives]
    return Ledger.create(Home(home), tiny_config(objective=objective), fingerprint="f" * 64)


def imagine(ledger: Ledger, space: SearchSpace, fresh: SamplerFactory, worth: Worth) -> dict[str, Any]:
    """Propose a trial and tell what it is ``worth``; returns its parameters."""
    proposal = ledger.propose(space, fresh)
    architecture, recipe = proposal.candidate
    parameters = space.parameters(proposal.candidate)
    config = TrialConfig(
        number=proposal.number, attempt=1, dataset="f" * 64, architecture=architecture, recipe=recipe, seed=7
    )
    costs = {name: float(len(parameters)) for name in ledger.config.objective[1:]}
    ledger.commit(config, COST, costs)
    ledger.report(proposal.number, 1, measurement(1, worth(parameters)), NEVER)
    ledger.finish(proposal.number, 1, EndReason.COMPLETED, "done")
    return parameters


def rate_of(parameters: Mapping[str, Any]) -> float:
    """The learning rate, or its best where it is fixed."""
    return next((value for name, value in parameters.items() if name.endswith(".learning_rate")), BEST_RATE)


def smooth(parameters: Mapping[str, Any]) -> float:
    """Best where the learning rate is ``BEST_RATE``, whatever the optimizer, and nothing else matters."""
    return 1 / (1 + math.log10(rate_of(parameters) / BEST_RATE) ** 2)
