"""A control plane over a home, and small real studies for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from convscout.services.config.home import Home
from convscout.services.control.plane import ControlPlane
from convscout.services.control.settings import ServiceSettings
from convscout.services.schemas.study_status import StudyStatus
from tests.support.studies import TINY_SPACE

T = TypeVar("T")

PATIENCE_S = 200.0  # a test takes a tenth of it, unless the machine has much else to do
TINY: dict[str, Any] = {
    "data": "digits",
    "families": "lenet",
    "executor": "in-process",
    "threads": 1,
    "workers": 1,
    "precision": "float32",
    "sampler": "random",
    "pruner": "none",
    "trials": 2,
    "epochs": 2,
    "space": TINY_SPACE,
}
ENDLESS = {**TINY, "trials": 1000, "epochs": 30}


def plane_of(home: Home, **settings: Any) -> ControlPlane:
    return ControlPlane(home, ServiceSettings(cores=1, **settings))


def await_status(plane: ControlPlane, name: str, *wanted: StudyStatus) -> StudyStatus:
    """Wait until the study stands in one of the ways that are ``wanted``."""

    def found() -> StudyStatus | None:
        status = plane.state(name).status
        return status if status in wanted else None

    return until(found, f"{name} to be {' or '.join(wanted)}", lambda: f"it is {plane.study(name)}")


def await_trials(plane: ControlPlane, name: str, count: int) -> None:
    """Wait until so many trials have reported an epoch."""

    def found() -> bool:
        return sum(bool(record.measurements) for record in plane.snapshot(name).trials) >= count

    until(found, f"{name} to have {count} trials", lambda: f"it is {plane.study(name)}")


def epochs(plane: ControlPlane, name: str) -> int:
    """How many epochs its trials have reported."""
    return sum(len(record.measurements) for record in plane.snapshot(name).trials)


def await_epochs(plane: ControlPlane, name: str, count: int) -> None:
    """Wait until the trials have reported so many epochs."""
    until(
        lambda: epochs(plane, name) >= count,
        f"{name} to have {count} epochs",
        lambda: f"it is {plane.study(name)}",
    )


def until(found: Callable[[], T | None], what: str, told: Callable[[], str]) -> T:
    """What ``found`` gives once that is something; fails when it does not for too long."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        if result := found():
            return result
        time.sleep(0.2)
    raise AssertionError(f"waited in vain for {what}: {told()}")
