"""The form that starts a study: its fields, what was sent by them, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from convscout.search_space.architecture import families
from convscout.search_space.errors import Problem
from convscout.services.config.documentation import about
from convscout.services.config.setting_types import (
    Bytes,
    DataName,
    Duration,
    Flag,
    Hours,
    KnobTable,
    ObjectiveNames,
    OneOf,
    Share,
    SomeOf,
    Whole,
)
from convscout.services.config.study_config import SETTINGS, Setting, StudyConfig
from convscout.services.config.toml import parse_toml, to_toml
from convscout.services.config.units import number_or_text
from convscout.services.control.plane import RESERVED
from convscout.services.plugins import exporters, pruners, samplers, selectors
from convscout.services.server.pages.form_data import SentForm
from convscout.services.server.pages.priority_field import PRIORITY

BASICS = ("name", "data", "time_s", "trials", "objective")
FAMILIES = "Families of networks"
SECTIONS: Mapping[str, str] = {
    "study": "How the search goes about it",
    "data": "How the images are read",
    "budget": "Other budgets",
    "limits": "Limits: what a network may cost",
    "resources": "Machine: what the study may use",
    "ensemble": "Ensemble and export",
    "space": "Design space: knobs fixed or narrowed",
}
_LABELS: Mapping[str, str] = {
    "name": "Name",
    "data": "Images",
    "share": "Share of the images",
    "time_s": "Time",
    "objective": "Objective",
    "fair": "Fairness",
    "space": "Knobs",
    "gpus_per_trial": "GPUs per trial",
    "gpu_hours": "GPU hours",
    "max_flops": "Max FLOPs",
}
_HELP: Mapping[str, str] = {
    "name": "What the study is called in lists, addresses and commands",
    "data": "What the networks learn to tell apart",
    "time_s": "How long all of it may take, as 90s, 10m or 1h30m; 10m where there is no other bound",
    "trials": "How many networks are tried at most; left open, as many as the time allows",
    "objective": "By what networks are judged on the validation images; costs make it a search for the best trade-offs",
    "families": "Which kinds of networks are tried; with none chosen, all that suit the images and the budget",
}
_COUNTED = "300k, 1.5M"
_BYTES = "500MB, 2GiB"
_DURATION = "90s, 10m, 1h30m"
_KNOBS = '"resnet.width" = {low = 16, high = 64}\n"recipe.batch_size" = 128'


@dataclass(frozen=True, kw_only=True)
class FieldChoice:
    """One of the values that a field offers, and what it means."""

    value: str
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One control. ``kind`` is "text", "select", "checks", "objective", "flag" or "lines".

    ``default`` is what an empty one means. Of an objective ``choices`` are the qualities, and ``costs`` what may come
    after one.
    """

    name: str
    path: str
    label: str
    help: str
    kind: str
    choices: Sequence[FieldChoice] = ()
    costs: Sequence[FieldChoice] = ()
    placeholder: str = ""
    default: str = ""
    required: bool = False


@cache
def fields() -> Mapping[str, Field]:
    """A field for each setting that may be chosen through the service, by its name."""
    return {name: _field(name, setting) for name, setting in SETTINGS.items() if name not in RESERVED}


def groups() -> Iterator[tuple[str, list[Field]]]:
    """The titles of the folded groups, and their fields."""
    yield FAMILIES, [fields()["families"]]
    for section, title in SECTIONS.items():
        yield (
            title,
            [
                field
                for name, field in fields().items()
                if SETTINGS[name].section == section and name not in (*BASICS, "families")
            ],
        )


def settings_of(sent: SentForm) -> dict[str, Any]:
    """What was sent, by field name, spelled as a person would. Knobs that are no TOML stay text, which is refused."""
    found: dict[str, Any] = {}
    for name in fields():
        rule = SETTINGS[name].rule
        if isinstance(rule, Flag):
            found[name] = bool(sent.one(name))
        elif isinstance(rule, SomeOf):
            found |= {name: chosen} if (chosen := sent.all(name)) else {}
        elif text := sent.one(name):
            found[name] = number_or_text(text) if isinstance(rule, Share) else text
    with suppress(ValueError):
        found |= {"space": parse_toml(found["space"])} if "space" in found else {}
    return found


def shown(sent: SentForm) -> dict[str, Any]:
    """What was sent, as the same form shows it again."""
    return {
        name: sent.all(name) if field.kind in ("checks", "objective") else sent.one(name)
        for name, field in fields().items()
    } | {PRIORITY: sent.one(PRIORITY)}


def shown_config(config: StudyConfig) -> dict[str, Any]:
    """The settings of ``config`` as the form shows them."""
    values: dict[str, Any] = {PRIORITY: ""}
    for name, field in fields().items():
        value = getattr(config, name)
        if name == "space":
            values[name] = _knob_lines(config)
        elif isinstance(value, tuple):
            values[name] = list(value)
        elif isinstance(value, bool):
            values[name] = "yes" if value else ""
        else:
            values[name] = "" if value is None else str(SETTINGS[field.name].rule.spell(value))
    return values


def by_field(problems: Iterable[Problem]) -> dict[str, list[str]]:
    """The rules that were broken, by the name of the field; what belongs to none is under the empty name."""
    names = {setting.path: name for name, setting in SETTINGS.items()}
    found: dict[str, list[str]] = {}
    for problem in problems:
        known = problem.field in SETTINGS or problem.field == PRIORITY
        name = names.get(problem.field, problem.field if known else "")
        rule = problem.rule
        if not name and problem.field.startswith("space."):
            name, rule = "space", f"{problem.field.removeprefix('space.')} {problem.rule}"
        elif name == "space":
            rule = f"{problem.rule}, such as {_KNOBS.splitlines()[0]}"
        elif not name:
            rule = f"{problem.field} {problem.rule}"
        found.setdefault(name, []).append(rule)
    return found


def _field(name: str, setting: Setting) -> Field:
    rule, default = setting.rule, _defaults()[name]
    kind, placeholder = "text", ""
    choices, costs = _choices(name, setting), list[FieldChoice]()
    if isinstance(rule, Flag):
        kind = "flag"
    elif isinstance(rule, ObjectiveNames):
        kind, qualities = "objective", set(rule.qualities())
        costs = [each for each in choices if each.value not in qualities]
        choices = [each for each in choices if each.value in qualities]
    elif isinstance(rule, SomeOf):
        kind = "checks"
    elif isinstance(rule, OneOf | DataName):
        kind = "select"
    elif isinstance(rule, KnobTable):
        kind, placeholder = "lines", _KNOBS
    elif isinstance(rule, Duration):
        placeholder = _DURATION
    elif isinstance(rule, Bytes):
        placeholder = _BYTES
    elif isinstance(rule, Hours):
        placeholder = "1.5, 90m"
    elif isinstance(rule, Whole) and rule.maximum > 10**6:
        placeholder = _COUNTED
    return Field(
        name=name,
        path=setting.path,
        label=_LABELS.get(name, name.replace("_", " ").capitalize()),
        help=_HELP.get(name, setting.help),
        kind=kind,
        choices=choices,
        costs=costs,
        placeholder=placeholder,
        default=default,
        required=name in ("name", "data"),
    )


@cache
def _defaults() -> Mapping[str, str]:
    """What a setting is unless it is given, as text."""
    usual = StudyConfig(name="study", data="digits")
    return {
        name: "" if value is None or name in ("name", "data") else str(SETTINGS[name].rule.spell(value))
        for name, value in vars(usual).items()
    } | {"time_s": ""}


def _choices(name: str, setting: Setting) -> list[FieldChoice]:
    rule = setting.rule
    if not isinstance(rule, OneOf | SomeOf):
        return []
    described = _describe(name)
    return [FieldChoice(value=each, about=described.get(each, "")) for each in rule.names()]


def _describe(name: str) -> dict[str, str]:
    """What each choice of a setting is, where every one has a file of its own that says so."""
    registries = {
        "families": families,
        "sampler": samplers,
        "pruner": pruners,
        "formats": exporters,
        "ensemble_strategy": selectors,
    }
    if name not in registries:
        return {}
    described = {each: about(thing) for each, thing in registries[name].items()}  # type: ignore[attr-defined]
    return {"auto": "Compares the others and takes what suits.", **described}


def _knob_lines(config: StudyConfig) -> str:
    return to_toml(config).partition("[space]\n")[2].partition("\n")[2].strip()
