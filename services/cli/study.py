"""Running a study: search, resume, stop, config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.naming import named
from services.cli.options import (
    HomeOption,
    JsonOption,
    NameArgument,
    StorageOption,
    complete_study,
    started_s,
    with_settings,
)
from services.cli.output import print_json, print_line
from services.cli.remote import study as remote
from services.cli.remote.routing import served_by
from services.config import StudyConfig
from services.config_file import to_toml
from services.extension import check_spelling
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
@served_by(remote.search)
def search(
    settings: dict[str, Any], home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Run a new study: search, ensemble, test, export. It is named after its data unless --study is given.

    Example: convscout search --data folder:flowers --time 10m --max-params 1.5M
    """
    from services import runner
    from services.display import display

    at = Home.at(home, storage)
    config = StudyConfig.from_options(named(settings, lambda: _taken(at)))
    with display(quiet=json) as listener:
        outcome = runner.search(config, at, listener, started_s())
    _tell(outcome, at, json)


@with_settings
@served_by(remote.resume)
def resume(
    settings: dict[str, Any],
    name: NameArgument,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on although the images or the code changed.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take it from a controller that shows no sign of life.")
    ] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a study where it was, however it ended, perhaps with larger budgets or another space.

    +50 adds to what was granted, and +vgg to the families. A process that is running the study is told of changes.

    Example: convscout resume quickstart --trials +50 --time +1h
    """
    from services import runner, steering
    from services.display import display

    check_spelling(settings)
    at = Home.at(home, storage)
    if settings and not take_over and steering.is_running(at, name):
        changed = steering.change(at, name, settings)
        steering.await_answer(at, name)
        if json:
            print_json({"study": name, "changed": changed})
        else:
            print_line(f"study {name} goes on with {', '.join(changed) or 'nothing'} changed")
        return
    with display(quiet=json) as listener:
        outcome = runner.resume(
            name,
            at,
            listener,
            started_s(),
            changes=settings,
            accept_changes=accept_changes,
            take_over=take_over,
        )
    _tell(outcome, at, json)


@served_by(remote.stop)
def stop(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Ask the process that runs a study to stop, and wait until it has; everything finished is kept.

    Example: convscout stop quickstart
    """
    from services import runner

    stopped = runner.stop(Home.at(home, storage), name)
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
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Print the configuration that `search` would use with the same options, as TOML.

    Example: convscout config --data digits --time 2m > study.toml
    """
    at = Home.at(home, storage)
    stored: Mapping[str, Any] = {}
    if of is not None:
        from services.study import Ledger

        stored = Ledger.open(at, of).config.to_dict()
    effective = StudyConfig.from_options(
        {**stored, **(settings if stored else named(settings, lambda: _taken(at)))}
    )
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


def _taken(home: Home) -> list[str]:
    from services.study import Ledger

    return Ledger.names(home)
