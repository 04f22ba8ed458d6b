"""This machine as one short look found it, for all studies of the tests: each home would be measured anew."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from convscout.services.config.home import Home
from convscout.trials.checkpoints.durable_files import put_file
from convscout.trials.training.machine_speed import MachineSpeed, measure_speed

VARIABLE = "CONVSCOUT_TESTS_MACHINE"
"""Names the directory of what was found, for the processes that tests start."""


@contextmanager
def machine_measured_once() -> Iterator[None]:
    """Within, the machine is measured when the first study begins, by its smallest network alone."""
    with patch("convscout.services.studies.run.machine_speed", _known):
        yield


def _known(home: Home, device: str, **options: Any) -> MachineSpeed:
    found = Path(os.environ.get(VARIABLE, home.cache)) / f"{device}.json"
    if not found.exists():
        speed = measure_speed(torch.device(device), 1, patience_s=0.0)
        found.parent.mkdir(parents=True, exist_ok=True)
        put_file(found, json.dumps(speed.to_dict()).encode())
    return MachineSpeed.from_dict(json.loads(found.read_bytes()))
