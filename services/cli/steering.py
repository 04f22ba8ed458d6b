"""Steering a study, whether it runs or not: stop, pause, enqueue, retry."""

from __future__ import annotations

from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from convscout.services.cli.overrides import SetOption, overrides
from convscout.services.cli.remote import steering as remote
from convscout.services.cli.remote.dispatch import run_on_server
from convscout.services.config.home import Home

PANEL = "Run a study"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("stop", rich_help_panel=PANEL)(stop)
    app.command("pause", rich_help_panel=PANEL)(pause)
    app.command("enqueue", rich_help_panel=PANEL)(enqueue)
    app.command("retry", rich_help_panel=PANEL)(retry)


@run_on_server(remote.stop)
def stop(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Ask the process that runs a study to stop, and wait until it has; everything finished is kept.

    Example: convscout stop quickstart
    """
    local.steering.stop(Home.at(home, storage).study(name), json=json)


@run_on_server(remote.pause)
def pause(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Let a running study end the epochs under way, then leave; `resume` goes on. `stop` does not wait for epochs.

    Example: convscout pause quickstart
    """
    local.steering.pause(Home.at(home, storage).study(name), json=json)


@run_on_server(remote.enqueue)
def enqueue(
    name: NameArgument,
    settings: SetOption = None,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Let a trial made by hand be the next. What is not set is as in the family's proven network and recipe.

    Example: convscout enqueue quickstart --set family=resnet --set resnet.width=24 --set recipe.optimizer=sgd
    """
    local.steering.enqueue(Home.at(home, storage).study(name), overrides(settings), json=json)


@run_on_server(remote.retry)
def retry(
    name: NameArgument,
    number: Annotated[int, typer.Argument(min=0, metavar="NUMBER", help="Of the trial.")],
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Let a stopped trial go on from its last checkpoint, or a failed one begin anew, to its end.

    Example: convscout retry quickstart 7
    """
    local.steering.retry(Home.at(home, storage).study(name), number, json=json)
