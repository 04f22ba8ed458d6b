"""Extension: what of a study may change once it has begun, and how a change is spelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convscout.search_space.errors import ConfigError, Problem
from convscout.services.config.study_config import SETTINGS, StudyConfig

# Trials before and after a change of these could not be compared. Where the images lie may change: a resume
# compares what they are.
FIXED = (
    "name",
    "seed",
    "objective",
    "image_size",
    "share",
    "validation_share",
    "max_bad_images",
    "portfolio",
)
# What a controller can change while it runs; the rest takes another start.
WHILE_RUNNING = (
    "families",
    "space",
    "sampler",
    "pruner",
    "fair",
    "repeats",
    "trials",
    "time_s",
    "epochs",
    "epochs_total",
    "gpu_hours",
    "target_accuracy",
    "until_converged",
    "max_params",
    "max_flops",
    "max_memory",
    "max_latency",
)


def extend(
    config: StudyConfig, changes: Mapping[str, Any], used: Mapping[str, int] | None = None
) -> StudyConfig:
    """``config`` with ``changes``, by field name and spelled as a person would.

    ``+50`` adds to a number or a time, ``+resnext,vgg`` to the families; knobs are changed one by one. ``used`` says by
    field name how much the study has spent: where that is more than it was granted, ``+`` adds to what it spent, or
    little would be granted, or nothing. Raises ``ConfigError`` with everything that may not change, or not so.
    """
    problems, resolved = list[Problem](), dict[str, Any]()
    for name, value in changes.items():
        if name not in SETTINGS:
            resolved[name] = value  # refused below, with a hint
            continue
        try:
            resolved[name] = _add(config, name, value[1:], used or {}) if _adds(value) else value
        except ValueError as error:
            problems.append(Problem(field=SETTINGS[name].path, value=value, rule=str(error)))
    if problems:
        raise ConfigError(problems)
    changed = StudyConfig.from_options({**config.to_dict(), **_merge_space(config, resolved)})
    refused = [
        Problem(
            field=SETTINGS[name].path,
            value=getattr(changed, name),
            rule=f"must stay {_show(getattr(config, name))}, with which the study began; begin a new one for another",
        )
        for name in FIXED
        if getattr(changed, name) != getattr(config, name)
    ]
    if refused:
        raise ConfigError(refused)
    return changed


def check_spelling(changes: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` for what cannot be a setting of any study, so that it is told before one is opened."""
    problems = []
    for name, value in changes.items():
        try:
            if name in SETTINGS:
                SETTINGS[name].rule.parse(value[1:] if _adds(value) else value)
        except ValueError as error:
            problems.append(Problem(field=SETTINGS[name].path, value=value, rule=str(error)))
    if problems:
        raise ConfigError(problems)


def changed_fields(before: StudyConfig, after: StudyConfig) -> dict[str, Any]:
    """What of ``after`` is new, by field name."""
    old, new = before.to_dict(), after.to_dict()
    return {name: value for name, value in new.items() if value != old[name]}


def _adds(value: object) -> bool:
    return isinstance(value, str) and value.startswith("+")


def _add(config: StudyConfig, name: str, more: str, used: Mapping[str, int]) -> Any:
    """The setting called ``name`` and ``more``. Raises ``ValueError`` where nothing can be added."""
    known, extra = getattr(config, name), SETTINGS[name].rule.parse(more)
    if isinstance(known, tuple):
        return [*known, *(each for each in extra if each not in known)]
    if isinstance(extra, bool | str) or not isinstance(extra, int | float):
        raise ValueError("is nothing that can be added to; give a value without +")
    if known is None:
        raise ValueError(f"has no bound to add to; give a value without +, such as {more}")
    return max(known, used.get(name, 0)) + extra


def _merge_space(config: StudyConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(changes.get("space"), Mapping):
        return {**changes, "space": {**config.space, **SETTINGS["space"].rule.parse(changes["space"])}}
    return dict(changes)


def _show(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else repr(value)
