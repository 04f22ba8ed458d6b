"""Steering a study, whether it runs or not: pause, enqueue, retry."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.options import HomeOption, JsonOption, NameArgument, StorageOption
from services.cli.output import print_json, print_line
from services.cli.overrides import SetOption, overrides
from services.cli.remote import steering as remote
from services.cli.remote.routing import served_by
from services.home import Home

PANEL = "Run a study"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("pause", rich_help_panel=PANEL)(pause)
    app.command("enqueue", rich_help_panel=PANEL)(enqueue)
    app.command("retry", rich_help_panel=PANEL)(retry)


@served_by(remote.pause)
def pause(
    name: NameArgument, home: HomeOption = None, storage: StorageOption = None, json: JsonOption = False
) -> None:
    """Let a running study end the epochs under way, then leave; `resume` goes on. `stop` does not wait for epochs.

    Example: convscout pause quickstart
    """
    from services import steering

    steering.pause(Home.at(home, storage), name)
    if json:
        print_json({"study": name, "paused": True})
    else:
        print_line(f"study {name} is paused; go on: convscout resume {name}")


@served_by(remote.enqueue)
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
    from services import runner, steering
    from services.display import display

    at = Home.at(home, storage)
    with display(quiet=True) as listener:
        space = runner.space_of(at, name, listener)
    parameters = steering.enqueue(at, name, overrides(settings), space)
    if json:
        print_json({"study": name, "parameters": parameters})
        return
    shown = ", ".join(f"{knob} = {value}" for knob, value in parameters.items())
    print_line(f"queued for study {name}: {shown}")
    if not steering.is_running(at, name):
        print_line(f"train it: convscout resume {name}")


@served_by(remote.retry)
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
    from services import steering

    at = Home.at(home, storage)
    steering.retry(at, name, number)
    if json:
        print_json({"study": name, "trial": number})
        return
    print_line(f"trial {number} of study {name} goes on as attempt {steering.next_attempt(at, name, number)}")
    if not steering.is_running(at, name):
        print_line(f"train it: convscout resume {name}")
