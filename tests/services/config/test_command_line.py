"""The command that begins a study begins the same one."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from convscout.services.config.command_line import search_command
from convscout.services.config.study_config import SETTINGS, StudyConfig

FLAGS = {setting.flag: name for name, setting in SETTINGS.items() if setting.flag}


def read(command: str) -> StudyConfig:
    """The study that a command asks for."""
    words, options = shlex.split(command)[2:], dict[str, Any]()
    while words:
        flag = words.pop(0).removeprefix("--")
        if flag.startswith("no-"):
            options[FLAGS[flag.removeprefix("no-")]] = False
        else:
            yes = not words or words[0].startswith("--")
            options[FLAGS[flag]] = True if yes else words.pop(0)
    return StudyConfig.from_options(options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"time": "10m"},
        {"time": "10m", "trials": 12},
        {"trials": 12},
        {"until_converged": True},
        {"until_converged": True, "time": "10m"},
        {"epochs_total": 100, "portfolio": False, "families": ["lenet", "nin"]},
    ],
)
def test_a_command_asks_for_the_same_study(options: dict[str, Any]) -> None:
    config = StudyConfig.from_options({"name": "mine", "data": "digits", **options})
    assert read(search_command(config)) == config
