"""Running a study: search, resume, stop, config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search_space.errors import ConfigError, Problem
from services.cli.options import (
    HomeOption,
    JsonOption,
    NameArgument,
    complete_study,
    started_s,
    with_settings,
)
from services.cli.output import print_json, print_line
from services.config import SETTINGS, StudyConfig, to_toml
from services.home import Home

if TYPE_CHECKING:
    from services.finish import Outcome

PANEL = "Run a study"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("search", rich_help_panel=PANEL)(search)
    app.command("resume", rich_help_panel=PANEL)(resume)
    app.command("stop", rich_help_panel=PANEL)(stop)
    app.command("config", rich_help_panel=PANEL)(config)


@with_settings
def search(settings: dict[str, Any], home: HomeOption = None, json: JsonOption = False) -> None:
    """Run a new study: search, ensemble, test, export. It is named after its data unless --study is given.

    Example: convscout search --data folder:flowers --time 10m --max-params 1.5M
    """
    from services import runner
    from services.display import display

    at = Home.at(home)
    config = StudyConfig.from_options(_named(settings, at))
    with display(quiet=json) as listener:
        outcome = runner.search(config, at, listener, started_s())
    _tell(outcome, at, json)


def resume(
    name: NameArgument,
    trials: Annotated[str | None, typer.Option(metavar="N", help="New number of trials in all.")] = None,
    time: Annotated[str | None, typer.Option(metavar="TIME", help="Time of this command, e.g. 10m.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a study where it was, however it ended, or give it a larger budget.

    Example: convscout resume quickstart --time 5m
    """
    from services import runner
    from services.display import display

    at = Home.at(home)
    budget = _budget({"trials": trials, "time_s": time})
    with display(quiet=json) as listener:
        outcome = runner.resume(
            name, at, listener, started_s(), trials=budget.get("trials"), time_s=budget.get("time_s")
        )
    _tell(outcome, at, json)


def stop(name: NameArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Ask the process that runs a study to stop, and wait until it has; everything finished is kept.

    Example: convscout stop quickstart
    """
    from services import runner

    stopped = runner.stop(Home.at(home), name)
    if json:
        print_json({"study": name, "stopped": stopped})
    else:
        print_line(f"study {name} {'has stopped' if stopped else 'is not running'}")


@with_settings
def config(
    settings: dict[str, Any],
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="NAME", help="Begin with this study's.", autocompletion=complete_study),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print the configuration that `search` would use with the same options, as TOML.

    Example: convscout config --data digits --time 2m > study.toml
    """
    at = Home.at(home)
    stored: Mapping[str, Any] = {}
    if of is not None:
        from services.study import Ledger

        stored = Ledger.open(at, of).config.to_dict()
    effective = StudyConfig.from_options({**stored, **(settings if stored else _named(settings, at))})
    if json:
        print_json(effective.to_dict())
    else:
        print_line(to_toml(effective).rstrip("\n"))


def _tell(outcome: Outcome, home: Home, json: bool) -> None:
    if json:
        print_json(outcome.to_dict())
        return
    from rich.console import Console

    from services.display import print_outcome

    print_outcome(Console(), outcome, home)


def _budget(given: Mapping[str, str | None]) -> dict[str, Any]:
    """The settings in ``given`` that were given, checked as those of a study are."""
    budget, problems = {}, []
    for name, value in given.items():
        try:
            if value is not None:
                budget[name] = SETTINGS[name].rule.parse(value)
        except ValueError as error:
            problems.append(Problem(field=SETTINGS[name].path, value=value, rule=str(error)))
    if problems:
        raise ConfigError(problems)
    return budget


def _named(settings: Mapping[str, Any], home: Home) -> dict[str, Any]:
    """``settings`` with a free name made from the data, where none was given."""
    if "name" in settings or not isinstance(settings.get("data"), str):
        return dict(settings)
    from services.study import Ledger

    base = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePath(settings["data"]).stem.rpartition(":")[2]).strip("-.")[
        :56
    ]
    taken = set(Ledger.names(home))
    names = (base or "study", *(f"{base or 'study'}-{number}" for number in range(2, len(taken) + 3)))
    return {**settings, "name": next(name for name in names if name not in taken)}
