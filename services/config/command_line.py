"""The command that begins a study, as one would type it."""

from __future__ import annotations

import shlex
from typing import Any

from convscout.services.config.study_config import ENDING, SETTINGS, StudyConfig


def search_command(config: StudyConfig) -> str:
    """``convscout search`` with every option of ``config`` that is not the default.

    Knobs that were fixed or narrowed have no option; where there are any, they must come from a file.
    """
    usual = StudyConfig.from_options({"name": config.name, "data": config.data}).to_dict()
    if any(getattr(config, name) for name in ENDING if name != "time_s"):
        usual["time_s"] = None  # another budget ends the study, so its time has no bound unless one is given
    given = config.to_dict()
    words = ["convscout", "search"]
    for name, setting in SETTINGS.items():
        value = getattr(config, name)
        if not setting.flag or value is None or (name not in ("data", "name") and given[name] == usual[name]):
            continue
        words += _option(setting.flag, setting.rule.spell(value))
    if config.space:
        words += ["--config", "study.toml"]
    return shlex.join(words)


def _option(flag: str, spelled: Any) -> list[str]:
    if isinstance(spelled, bool):
        return [f"--{flag}" if spelled else f"--no-{flag}"]
    text = ",".join(map(str, spelled)) if isinstance(spelled, list | tuple) else str(spelled)
    return [f"--{flag}", text]
