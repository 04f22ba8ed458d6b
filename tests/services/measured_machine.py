"""This machine as one short look found it, for all studies of a test process: each home would be measured anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import torch

from services.home import Home
from trials.machine_speed import MachineSpeed, measure_speed


@contextmanager
def machine_measured_once() -> Iterator[None]:
    """Within, the machine is measured when the first study begins, by its smallest network alone."""
    with patch("services.runner.machine_speed", _known):
        yield


def _known(home: Home, device: str, **options: Any) -> MachineSpeed:
    return _measured(device)


@cache
def _measured(device: str) -> MachineSpeed:
    return measure_speed(torch.device(device), 1, patience_s=0.0)
