"""Looking at studies, and tidying them up: studies, show, trials, sync, delete, restore."""

from __future__ import annotations

import typer

from convscout.services.cli import local
from convscout.services.cli.options import (
    HomeOption,
    JsonOption,
    LimitOption,
    NameArgument,
    Order,
    SortOption,
    StorageOption,
)
from convscout.services.cli.remote import studies as remote
from convscout.services.cli.remote.dispatch import run_on_server
from convscout.services.config.home import Home

PANEL = "Look at studies"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("studies", rich_help_panel=PANEL)(studies)
    app.command("show", rich_help_panel=PANEL)(show)
    app.command("trials", rich_help_panel=PANEL)(trials)
    app.command("sync", rich_help_panel=PANEL)(sync)
    app.command("delete", rich_help_panel=PANEL)(delete)
    app.command("restore", rich_help_panel=PANEL)(restore)


@run_on_server(remote.studies)
def studies(home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False) -> None:
    """List the studies under the home.

    Example: convscout studies --json
    """
    local.studies.studies(Home.at(home, storage), json=json)


@run_on_server(remote.show)
def show(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Show one study: what was asked, what came of it, where it lies.

    Example: convscout show quickstart
    """
    local.studies.show(Home.at(home, storage).study(name), json=json)


@run_on_server(remote.trials)
def trials(
    name: NameArgument,
    sort: SortOption = Order.NUMBER,
    limit: LimitOption = None,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """List the trials of a study.

    Example: convscout trials quickstart --sort score --limit 10
    """
    local.studies.trials(Home.at(home, storage).study(name), sort, limit, json=json)


def sync(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Bring MLflow up to date with a study that is not running, e.g. after its tracking server was away.

    Example: convscout sync quickstart
    """
    local.studies.sync(Home.at(home, storage).study(name), json=json)


@run_on_server(remote.delete)
def delete(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Delete a study that does not run. For a week, `restore` brings it back.

    Example: convscout delete quickstart
    """
    local.studies.delete(Home.at(home, storage).study(name), json=json)


@run_on_server(remote.restore)
def restore(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Bring back a study that was deleted less than a week ago.

    Example: convscout restore quickstart
    """
    local.studies.restore(Home.at(home, storage).study(name), json=json)
