"""Checks of the doctor that need torch: devices, speed, plug-ins. Apart, so that the others run where it is broken."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from convscout.search_space.architecture import families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.optimizer import optimizers
from convscout.services.config.home import Home
from convscout.services.config.units import format_bytes
from convscout.services.executors.machine_speed import PATIENCE_S, describe, known_speed
from convscout.services.plugins import exporters, methods, pruners, samplers, selectors, study_plots
from convscout.services.studies.diagnosis import Diagnosis, fine, warning
from convscout.services.system.resources import num_cores
from convscout.trials.compute.allocator import describe_allocator
from convscout.trials.compute.machine import cpu_name, has_native_bfloat16, instruction_set
from convscout.trials.data.sources import sources
from convscout.trials.training.machine_speed import measure_speed


def check_devices() -> Iterator[Diagnosis]:
    """Each GPU, and what the processor computes in."""
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield fine(f"cuda:{index}", f"{properties.name}, {format_bytes(properties.total_memory)}")
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        yield fine("cuda", f"no usable device (torch is {built}); trials train on the CPU")
    how = "bfloat16 in hardware" if has_native_bfloat16() else "no bfloat16 in hardware"
    yield fine("cpu", f"{cpu_name()}, {instruction_set()}, {how}; {describe_allocator()}")


def check_speed(home: Home) -> Iterator[Diagnosis]:
    """How fast this machine trains, measured unless ``home`` knows it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    speed = known_speed(home, device)
    if speed is None:  # and it stays so, as looking changes nothing
        speed = measure_speed(torch.device(device), num_cores(), patience_s=PATIENCE_S)
    yield fine("speed", describe(speed))


def check_plugins() -> Iterator[Diagnosis]:
    """Plug-ins of each kind, and those that could not be loaded."""
    ours = families, optimizers, augmentations, sources
    counts = []
    for registry in (*ours, samplers, pruners, selectors, exporters, methods, study_plots):
        counts.append(f"{registry.kind} {len(registry.names())}")
        for name, error in registry.broken.items():
            mend = "update or uninstall the package that brings it; it is skipped until then"
            yield warning(f"{registry.kind} {name}", error, mend)
    yield fine("plug-ins", ", ".join(counts))
