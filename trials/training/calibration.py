"""Which number format and layout a network trains fastest in on this machine, found by training a few steps.

The steps are of copies on random images, so that the trial itself is left as it was. What was found depends
on the clock; it is written into the trial's directory, and a trial that is taken up again goes by that.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.errors import StudyInterrupted
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.checkpoints.durable_files import Durability, put_file
from convscout.trials.compute.machine import cpu_name, instruction_set
from convscout.trials.compute.precision import LAYOUTS, Precision, choose_precision, formats_to_try
from convscout.trials.config import TrialConfig
from convscout.trials.data.batches import Batches
from convscout.trials.training.cuda_graph import graphs_for
from convscout.trials.training.graphed_step import WARM_UP, GraphedStep
from convscout.trials.training.loop import TrainingState, make_loss, make_step

SHARE = 0.02  # of a trial's time that may go into its calibration
ROUNDS = 6  # most steps of an option, the first of which warms it up
MIN_ROUNDS = 3
MARGIN = 0.03  # of the time that an option must save to be taken before a simpler one
HOPELESS = 1.25  # times the fastest: not tried further
MOST_IMAGES = 256  # of a batch: formats compare as they do in a larger one, which takes as much longer

StepTimer = Callable[[Precision], float]  # seconds of one training step


def options(device: torch.device) -> list[Precision]:
    """All formats that are worth a try, in all layouts, the simplest first."""
    formats = formats_to_try(device)
    return [Precision(device, dtype, layout) for layout in LAYOUTS.values() for dtype in formats]


def calibrate(
    state: TrainingState,
    training: Batches,
    config: TrialConfig,
    image: ImageSpec,
    device: torch.device,
    *,
    cache: Path | None,
    should_stop: Callable[[], bool],
) -> Precision:
    """How to train the fresh ``state`` of ``config``: as found before in ``cache``, else by trying.

    A trial too short to try anything in ``SHARE`` of its time goes by what the device has instructions
    for, as does one that fails while it is tried. Raises ``StudyInterrupted`` once ``should_stop()`` holds.
    """
    file = None if cache is None else cache / f"{_key(config, image, device)}.json"
    if file is not None and (known := read_precision(file, device)):
        return known
    recipe = config.recipe
    budget = SHARE * math.ceil(len(training) / recipe.batch_size) * recipe.epochs
    if budget < (MIN_ROUNDS + _unmeasured(device)) * len(options(device)):
        return choose_precision("auto", device)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            timer = step_timer(state, training, image, recipe, device, should_stop)
            chosen = fastest(options(device), timer, budget)
    except RuntimeError:  # short of memory, or a layer without a kernel for one of the options
        return choose_precision("auto", device)
    if file is not None:
        with suppress(OSError):  # only time is lost
            file.parent.mkdir(parents=True, exist_ok=True)
            write_precision(file, chosen)
    return chosen


def fastest(options: Sequence[Precision], step_s: StepTimer, budget: float) -> Precision:
    """The first of ``options``, or the one whose steps are clearly shorter than those of all before it.

    They take turns, so that what else the machine does meets all alike, and each is judged by its shortest
    step. ``budget`` is how many steps of the first option all may take together; one more round may begin.
    """
    least_s = dict.fromkeys(options, math.inf)
    running, spent_s = list(options), 0.0
    for turn in range(ROUNDS):
        for option in running:
            seconds = step_s(option)
            spent_s += seconds
            least_s[option] = min(least_s[option], seconds)
        if turn > 0:
            running = [o for o in running if least_s[o] <= HOPELESS * min(least_s.values())]
        if len(running) == 1 or spent_s > budget * least_s[options[0]]:
            break
    chosen = options[0]
    for option in options[1:]:
        if least_s[option] < (1 - MARGIN) * least_s[chosen]:
            chosen = option
    return chosen


def step_timer(
    state: TrainingState,
    training: Batches,
    image: ImageSpec,
    recipe: TrainingRecipe,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> StepTimer:
    """Times steps of copies of the fresh ``state`` on one batch of random images; on a GPU, those of a graph."""
    copies: dict[torch.memory_format, TrainingState] = {}
    steps: dict[Precision, GraphedStep] = {}
    new_graph = graphs_for(device, sharing_memory=True)
    count = min(recipe.batch_size, len(training), MOST_IMAGES)
    shape = (count, image.in_channels, image.image_size, image.image_size)
    images = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.full((count, image.num_classes), 1 / image.num_classes, device=device)
    loss = make_loss(recipe, training)

    def step_s(precision: Precision) -> float:
        if should_stop():
            raise StudyInterrupted("stopped while it was calibrated")
        if precision.layout not in copies:
            model = copy.deepcopy(state.model).train().to(memory_format=precision.layout)
            copies[precision.layout] = TrainingState(model=model, optimizer=recipe.optimizer.build(model))
        trained = copies[precision.layout]
        if precision not in steps:
            own = replace(trained)  # of which only the scale of the loss is another's
            steps[precision] = make_step(own, loss, recipe, precision, new_graph)
            for _ in range(_unmeasured(device)):
                steps[precision](images, targets, 1)
        began = _clock(device)
        steps[precision](images, targets, 1)
        seconds = _clock(device) - began
        trained.optimizer.zero_grad(set_to_none=True)  # the next copy needs the memory
        return seconds

    return step_s


def _unmeasured(device: torch.device) -> int:
    """Steps of each option that are not timed: on a GPU, those up to the capture."""
    return WARM_UP + 1 if device.type == "cuda" else 0


def _clock(device: torch.device) -> float:
    """Seconds of computing: where one thread computes, without those in which other workers had its core."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()  # another thread may be recording a graph on its own
    elif torch.get_num_threads() == 1:
        return time.thread_time()
    return time.perf_counter()


def _key(config: TrialConfig, image: ImageSpec, device: torch.device) -> str:
    """A name for all that the answer depends on."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    parts = {
        "machine": [cpu_name(), instruction_set(), gpu, torch.__version__, torch.get_num_threads()],
        "image": [image.in_channels, image.image_size, image.num_classes],
        "batch_size": config.recipe.batch_size,
        "architecture": config.architecture.to_dict(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def write_precision(file: Path, precision: Precision) -> None:
    """Let ``file`` say ``precision``; of several writers one wins. Lost with the power, it is found anew."""
    put_file(file, json.dumps({"precision": precision.name}).encode(), Durability.ATOMIC)


def read_precision(file: Path, device: torch.device) -> Precision | None:
    """What ``file`` says, on ``device``; None where it is missing or damaged."""
    try:
        return Precision.from_name(json.loads(file.read_bytes())["precision"], device)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
