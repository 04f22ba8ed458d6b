"""Placement: how many trials train at a time, and on which share of a GPU."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

import torch

from convscout.search_space.complexity_meter import measure
from convscout.search_space.constraints import Limits
from convscout.search_space.errors import ConfigError, LimitExceededError, Problem, UnbuildableError
from convscout.search_space.space import SearchSpace
from convscout.services.config.setting_types import AUTO
from convscout.services.config.space_overrides import space_overrides
from convscout.services.config.study_config import SETTINGS, StudyConfig
from convscout.services.config.units import format_bytes
from convscout.services.samplers.random_candidates import random_candidates
from convscout.services.system.resources import num_cores
from convscout.trials.compute.precision import DTYPES, choose_device, choose_precision
from convscout.trials.data.batches import TrainingData
from convscout.trials.data.pixel_reader import DEVICE_SHARE
from convscout.trials.training.machine_speed import MachineSpeed

# More would take turns anyway: a GPU computes for one process at a time, and a few small networks fill it.
MOST_PER_GPU = 8
# Random candidates that are looked at beside the portfolio: about a second of work. One that takes more
# memory than all of them trains on in halves or quarters of its batches (``trials/training/memory_guard.py``).
SAMPLES = 32
# What a worker takes before it trains: a CUDA context with the kernels of torch and cuDNN (about half a GiB),
# their workspaces, and a batch of validation images on its way through a network. Not measured yet.
WORKER_BYTES = 3 * 2**29
# By how much a step may exceed its prediction, which counts no rounding and fragmentation of the allocator
# and was found up to a third too low on a CPU (see ``convscout.search_space.complexity_meter.measure``).
SLACK = 1.5


@dataclass(frozen=True, kw_only=True)
class Placement:
    """``workers`` trials at a time, no more than ``per_gpu`` on each of ``gpus`` GPUs; without GPUs on the CPU.

    Each computes with so many ``threads``. ``reason`` tells a person what was decided for them, if anything was.
    """

    workers: int
    threads: int = 1
    gpus: int = 0
    per_gpu: int = 1
    reason: str = ""

    @property
    def device(self) -> str:
        """What the trials train on: "cpu" or "cuda"."""
        return "cuda" if self.gpus else "cpu"

    @property
    def gpu_share(self) -> float:
        """What part of a GPU a worker asks Ray for: rounded down to Ray's four digits, so that all fit."""
        return math.floor(10_000 / self.per_gpu) / 10_000 if self.gpus else 0.0

    def united(self, trials: float) -> Self:
        """As many workers as there is time for full ``trials``, one at least, on all the threads of these."""
        workers = max(1, int(min(self.workers, trials)))
        if workers == self.workers:
            return self
        threads = self.workers * self.threads // workers
        at_a_time = _count(workers, "network")
        reason = f"{at_a_time} at a time, on {threads} cores each, as the time is short (another number with --workers)"
        return replace(self, workers=workers, threads=threads, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine or a cluster: ``gpus`` GPUs with at least ``free_bytes`` of memory free on each, and CPU ``cores``.

    ``speed`` is that of the slowest node of a cluster; None of this machine, which has yet to be measured.
    """

    gpus: int
    free_bytes: int
    cores: int
    speed: MachineSpeed | None = None

    @classmethod
    def here(cls) -> Self:
        """This machine, which has a GPU. Looking at a GPU's memory takes some of it for this process."""
        gpus = torch.cuda.device_count()
        free_bytes = min(torch.cuda.mem_get_info(gpu)[0] for gpu in range(gpus))
        return cls(gpus=gpus, free_bytes=free_bytes, cores=num_cores())


def device_of(config: StudyConfig, cluster: Machine | None) -> torch.device:
    """What the trials of ``config`` train on, on ``cluster`` or this machine.

    Raises ``ConfigError`` for a device that is not there.
    """
    if cluster is None:
        return choose_device(config.device)
    if config.device == "cuda" and not cluster.gpus:
        rule = "must be 'cpu' or 'auto' on this cluster, which has no GPU"
        raise ConfigError([Problem(field="resources.device", value=config.device, rule=rule)])
    return torch.device("cuda" if cluster.gpus and config.device != "cpu" else "cpu")


def can_unite(config: StudyConfig, cluster: Machine | None) -> bool:
    """Whether it is left open how the cores of this machine are shared by the trials of ``config``."""
    on_cpu = device_of(config, cluster).type == "cpu"
    return on_cpu and cluster is None and config.workers is None and config.threads is None


def place(config: StudyConfig, data: TrainingData, cluster: Machine | None = None) -> Placement:
    """Where the trials of ``config`` train on ``cluster`` or this machine."""
    if device_of(config, cluster).type == "cpu":
        cores = cluster.cores if cluster else num_cores()
        if config.executor == "in-process":
            return Placement(workers=1, threads=config.threads or cores)
        return Placement(workers=config.workers or cores, threads=config.threads or 1)
    return place_on(cluster or Machine.here(), config, data)


def place_on(machine: Machine, config: StudyConfig, data: TrainingData) -> Placement:
    """Where they train on the GPUs of ``machine``.

    A share of a GPU that the study names bounds how many workers a GPU gets; else their number does, if that
    is named; else the memory that a trial is predicted to take. Unless told otherwise a worker has a core of
    its own, because that is what hands a GPU its work.
    """
    if config.executor == "in-process" and config.deterministic:
        return Placement(workers=1, threads=config.threads or machine.cores, gpus=1)
    reason = ""
    if config.gpus_per_trial != AUTO:
        per_gpu = trials_of(float(config.gpus_per_trial))
    elif config.workers:
        per_gpu = math.ceil(config.workers / machine.gpus)
    else:
        need_bytes = predict_bytes(config, data, machine.free_bytes)
        per_gpu = trials_that_fit(need_bytes, machine)
        reason = _reason(per_gpu, need_bytes, machine)
    workers = min(config.workers or machine.cores, per_gpu * machine.gpus)
    threads = config.threads or (max(1, machine.cores // workers) if config.executor == "in-process" else 1)
    return Placement(workers=workers, threads=threads, gpus=machine.gpus, per_gpu=per_gpu, reason=reason)


def trials_of(share: float) -> int:
    """How many trials of that ``share`` each a GPU takes; a share such as 1/3 may be rounded up."""
    return math.floor(1 / share + 1e-6)


def trials_that_fit(need_bytes: int, machine: Machine) -> int:
    """How many trials of ``need_bytes`` each GPU of ``machine`` gets: one at least."""
    return max(1, min(machine.free_bytes // need_bytes, machine.cores // machine.gpus, MOST_PER_GPU))


def predict_bytes(config: StudyConfig, data: TrainingData, free_bytes: int) -> int:
    """How much memory a trial of the study may take on a GPU that has ``free_bytes``.

    It is that of the most demanding network out of the portfolio and a random sample of what the study
    may try within its limits, beside all else that a worker keeps there, such as images that are not too many.
    """
    space = SearchSpace(
        image=data.image,
        families=config.families,
        precision=config.precision,
        overrides=space_overrides(config, len(data.train)),
    )
    step_bytes = max(_step_bytes(space, config.limits), default=0)
    splits_bytes = (data.train.images.nbytes, data.validation.images.nbytes)
    images_bytes = sum(size for size in splits_bytes if size <= DEVICE_SHARE * free_bytes)
    return round(SLACK * step_bytes) + images_bytes + WORKER_BYTES


def check_environment(config: StudyConfig, cluster: Machine | None = None) -> None:
    """Raise ``ConfigError`` when ``cluster``, or else this machine, cannot do what ``config`` asks."""
    device = device_of(config, cluster)
    gpus = cluster.gpus if cluster else torch.cuda.device_count()
    if problems := list(_problems(config, gpus if device.type == "cuda" else 0)):
        raise ConfigError(problems)
    if config.precision != AUTO:
        choose_precision(config.precision, device)
    if config.gpu_hours is not None and device.type == "cpu":
        rule = "counts GPUs, but trials would train on the CPU here; give --time or --epochs-total instead"
        raise ConfigError([Problem(field=SETTINGS["gpu_hours"].path, value=config.gpu_hours, rule=rule)])


def _problems(config: StudyConfig, gpus: int) -> Iterator[Problem]:
    workers, share = config.workers, config.gpus_per_trial
    if share != AUTO and not gpus:
        rule = f"must be {AUTO} where trials train on the CPU (see `convscout doctor`)"
        yield Problem(field="resources.gpus_per_trial", value=share, rule=rule)
    if workers and workers > 1 and config.executor == "in-process" and (config.deterministic or not gpus):
        when = "with --deterministic" if gpus else "on a CPU"
        rule = (
            f"must be 1 with --executor in-process {when}, where trials side by side would draw from one "
            "generator of random numbers; take --executor ray for more"
        )
        yield Problem(field="resources.workers", value=workers, rule=rule)
    elif workers and gpus and share != AUTO and workers > (most := trials_of(float(share)) * gpus):
        rule = (
            f"must be at most {most} with --gpus-per-trial {share:.4g} on {_count(gpus, 'GPU')}; "
            "leave one of the two out, or make the share smaller"
        )
        yield Problem(field="resources.workers", value=workers, rule=rule)


def _step_bytes(space: SearchSpace, limits: Limits) -> Iterator[int]:
    """The predicted memory of a training step of candidates that can be built and keep the limits."""
    for architecture, recipe in [*space.portfolio(), *random_candidates(space, SAMPLES)]:
        dtype = DTYPES.get(recipe.precision, torch.float32)  # of those that "auto" may choose, the largest
        with suppress(UnbuildableError, LimitExceededError):
            cost = measure(architecture, recipe, space.image, dtype=dtype)
            limits.check(cost)
            yield cost.peak_train_bytes


def _reason(per_gpu: int, need_bytes: int, machine: Machine) -> str:
    where = "the GPU" if machine.gpus == 1 else f"each of {machine.gpus} GPUs"
    need, free = format_bytes(need_bytes), format_bytes(machine.free_bytes)
    return (
        f"{_count(per_gpu, 'trial')} at a time on {where}: a trial takes up to {need} of {free}; "
        "other numbers with --gpus-per-trial or --workers"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
