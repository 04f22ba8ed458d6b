"""What this machine can do: measured once, kept in the home's cache, and looked at again before each search."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import torch

from convscout.services.config.home import Home
from convscout.services.system.resources import num_cores
from convscout.trials.checkpoints.durable_files import Durability, put_file
from convscout.trials.compute.machine import cpu_name, instruction_set
from convscout.trials.training.machine_speed import MachineSpeed, measure_reference, measure_speed

PATIENCE_S = 1.5  # for measuring; of a short search no more than a twentieth of its time
PATIENCE_SHARE = 0.05
CHANGED = 1.5  # times as fast or as slow as what is known: the machine is measured anew


def machine_speed(home: Home, device: str, *, time_s: float | None = None, kept: bool = True) -> MachineSpeed:
    """How fast ``device`` of this machine trains, for a search of ``time_s`` in all.

    What is known of it is believed where one small network still takes about as long. What is measured is ``kept``
    for the next time, unless the home is only looked at.
    """
    place = torch.device(device)
    known = known_speed(home, device)
    if known and _is_still(known, place):
        return known
    patience_s = PATIENCE_S if time_s is None else min(PATIENCE_S, PATIENCE_SHARE * time_s)
    speed = measure_speed(place, num_cores(), patience_s=patience_s)
    if kept:
        _keep(home, device, speed)
    return speed


def _keep(home: Home, device: str, speed: MachineSpeed) -> None:
    with suppress(OSError):  # only time is lost
        _file(home, device).parent.mkdir(parents=True, exist_ok=True)
        put_file(_file(home, device), json.dumps(speed.to_dict()).encode(), Durability.ATOMIC)


def _is_still(known: MachineSpeed, device: torch.device) -> bool:
    """Whether the smallest network still takes about as long."""
    before = known.references[0]
    now = measure_reference(before.name, device)
    return 1 / CHANGED < now.images_per_s / before.images_per_s < CHANGED


def known_speed(home: Home, device: str) -> MachineSpeed | None:
    """What was found the last time; None where it was never measured, or the record is damaged."""
    try:
        return MachineSpeed.from_dict(json.loads(_file(home, device).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def describe(speed: MachineSpeed) -> str:
    """The figures for a person."""
    name, rate = speed.main.name, speed.main.images_per_s
    if speed.device == "cuda":
        return f"this GPU trains {name} at {rate:,.0f} images/s ({speed.precision})"
    answers = f"it answers {speed.answers_per_s:,.0f} on {'all ' if speed.threads > 1 else ''}{speed.threads}"
    return f"this machine trains {name} at {rate:,.0f} images/s a thread; {answers} ({speed.precision})"


def _file(home: Home, device: str) -> Path:
    """One for each processor, number of threads and version of torch."""
    gpu = torch.cuda.get_device_name() if device == "cuda" else ""
    parts = [cpu_name(), instruction_set(), gpu, str(num_cores()), torch.__version__]
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return home.cache / "machine" / f"{name}.json"
