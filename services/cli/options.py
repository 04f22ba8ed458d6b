"""Options that several commands share, and those that are made from the settings of a study."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Optional, TypeAlias

import typer

from convscout.search_space.errors import ConfigError, Problem
from convscout.services.config.home import Home
from convscout.services.config.setting_types import (
    Bytes,
    Duration,
    Flag,
    GpuShare,
    OneOf,
    SettingType,
    Share,
    SomeOf,
    Whole,
)
from convscout.services.config.study_config import SETTINGS, Setting, merge
from convscout.services.config.toml import load_toml
from convscout.services.config.units import number_or_text


def complete_study(context: typer.Context, incomplete: str) -> list[str]:
    """Names of studies that begin with ``incomplete``, for the shell."""
    from convscout.services.ledger.ledger import Ledger  # it imports torch and Optuna, which take seconds

    home = Home.at(context.params.get("home"), context.params.get("storage"))
    return [name for name in Ledger.names(home) if name.startswith(incomplete)]


class Order(StrEnum):
    """What `trials` sorts by."""

    NUMBER = "number"
    SCORE = "score"
    PARAMS = "params"


HomeOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--home", envvar="CONVSCOUT_HOME", metavar="DIR", help="Where studies lie; ./runs unless given."
    ),
]
StorageOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="CONVSCOUT_STORAGE",
        metavar="URL",
        help="PostgreSQL for the ledger, which the home remembers: postgresql+psycopg://USER@HOST:PORT/DATABASE.",
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
NameArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the study.", autocompletion=complete_study)
]
SortOption: TypeAlias = Annotated[Order, typer.Option("--sort", help="What to sort by.")]
LimitOption: TypeAlias = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Show only the first N.")
]
OutputDirectory: TypeAlias = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Where to; story/ in the study's directory unless given."),
]
_ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file of settings; options here win over it."),
]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``settings`` of ``command`` by ``--config`` and an option for each setting.

    ``command`` gets what they say together, by field name and not checked yet.
    """

    own = [each for each in _parameters(command) if each.name != "settings"]
    named = {each.name for each in own}  # an argument of the command takes the place of an option
    settings = {name: setting for name, setting in SETTINGS.items() if setting.flag and name not in named}

    # typer knows options by the parameters of a function, and these come from one declaration each
    @functools.wraps(command)
    def adapter(config: Path | None, **values: Any) -> None:
        flags = {name: values.pop(name) for name in settings}
        command(settings=merge(load_toml(config) if config else {}, flags), **values)

    options = [_option(name, setting) for name, setting in settings.items()]
    config = inspect.Parameter(
        "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_ConfigOption
    )
    adapter.__signature__ = inspect.Signature([*options, config, *own])  # type: ignore[attr-defined]
    return adapter


def _parameters(command: Callable[..., None]) -> list[inspect.Parameter]:
    signature = inspect.signature(command, eval_str=True)
    return [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]


def _option(name: str, setting: Setting) -> inspect.Parameter:
    flag = f"--{setting.flag}"
    option = typer.Option(
        f"{flag}/--no-{setting.flag}" if isinstance(setting.rule, Flag) else flag,
        help=f"{setting.help[:1].upper()}{setting.help[1:]}.",
        metavar=None if isinstance(setting.rule, Flag) else _metavar(setting),
        rich_help_panel=setting.section.capitalize(),
        show_default=False,
        autocompletion=_completer(setting),
        parser=number_or_text if isinstance(setting.rule, Share) else None,
    )
    kind: Any = bool if isinstance(setting.rule, Flag) else str
    annotation = Annotated[Optional[kind], option]  # noqa: UP045 - built at run time, for typer to read
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _metavar(setting: Setting) -> str:
    match setting.rule:
        case SomeOf():
            return "A,B"
        case Whole():
            return "N"
        case Share() | GpuShare():
            return "SHARE"
        case Duration():
            return "TIME"
        case Bytes():
            return "BYTES"
        case _:
            return setting.key.rpartition("_")[2].upper()


def complete_list(names: Iterable[str], incomplete: str) -> list[str]:
    """Those of ``names`` that begin with what comes after the last comma of ``incomplete``, for the shell."""
    head, comma, last = incomplete.rpartition(",")
    return [f"{head}{comma}{name}" for name in names if name.startswith(last)]


def parsed(field: str, rule: SettingType, value: str) -> Any:
    """``value`` as ``rule`` reads it; raises ``ConfigError``, which calls it ``field``, for one that it forbids."""
    try:
        return rule.parse(value)
    except ValueError as error:
        raise ConfigError([Problem(field=field, value=value, rule=str(error))]) from None


def _completer(setting: Setting) -> Callable[[str], list[str]] | None:
    rule = setting.rule
    if not isinstance(rule, OneOf | SomeOf):
        return None

    def complete(incomplete: str) -> list[str]:
        if isinstance(rule, SomeOf):
            return complete_list(rule.names(), incomplete)
        return [name for name in rule.names() if name.startswith(incomplete)]

    return complete
