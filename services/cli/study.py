"""Running a study: search, resume, config."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from convscout.services.cli import local
from convscout.services.cli.options import (
    HomeOption,
    JsonOption,
    NameArgument,
    StorageOption,
    complete_study,
    with_settings,
)
from convscout.services.cli.remote import study as remote
from convscout.services.cli.remote.dispatch import run_on_server
from convscout.services.config.changes import check_spelling
from convscout.services.config.home import Home

PANEL = "Run a study"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("search", rich_help_panel=PANEL)(search)
    app.command("resume", rich_help_panel=PANEL)(resume)
    app.command("config", rich_help_panel=PANEL)(config)


@with_settings
@run_on_server(remote.search)
def search(
    settings: dict[str, Any], home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Run a new study: search, ensemble, test, export. It is named after its data unless --study is given.

    Example: convscout search --data folder:flowers --time 10m --max-params 1.5M
    """
    local.study.search(Home.at(home, storage), settings, json=json)


@with_settings
@run_on_server(remote.resume)
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
    check_spelling(settings)
    local.study.resume(
        Home.at(home, storage).study(name),
        settings,
        accept_changes=accept_changes,
        take_over=take_over,
        json=json,
    )


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
    local.study.config(Home.at(home, storage), settings, of=of, json=json)
