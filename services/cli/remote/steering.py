"""Steering a study of a service: stop, pause, enqueue, retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from convscout.services.cli.options import JsonOption, NameArgument
from convscout.services.cli.output import print_json, print_line
from convscout.services.cli.overrides import SetOption, overrides
from convscout.services.cli.remote.progress import until

if TYPE_CHECKING:
    from convscout.services.client import Client


def stop(client: Client, name: NameArgument, json: JsonOption = False) -> None:
    """Ask for the end of a study's run there, and wait until it has come."""
    runs = client.study(name).status.active
    if runs:
        client.stop(name)
    found = until(client, name, lambda study: not study.status.active)
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        print_line(f"study {name} {'has stopped' if runs else 'is not running'}")


def pause(client: Client, name: NameArgument, json: JsonOption = False) -> None:
    """Let a study pause there, and wait until it does."""
    client.pause(name)
    found = until(client, name, lambda study: not study.status.active)
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        print_line(f"study {name} is {found.status}; go on: convscout resume {name} --server {client.url}")


def enqueue(client: Client, name: NameArgument, settings: SetOption = None, json: JsonOption = False) -> None:
    """Let a trial made by hand be the next there."""
    parameters = client.enqueue(name, overrides(settings))
    if json:
        print_json({"parameters": parameters})
        return
    shown = ", ".join(f"{knob} = {value}" for knob, value in parameters.items())
    print_line(f"queued for study {name}: {shown}")
    _say_how_to_train(client, name)


def retry(
    client: Client,
    name: NameArgument,
    number: Annotated[int, typer.Argument(min=0, metavar="NUMBER", help="Of the trial.")],
    json: JsonOption = False,
) -> None:
    """Let a trial go on there."""
    found = client.retry(name, number)
    if json:
        print_json(found.model_dump(mode="json"))
        return
    print_line(f"trial {number} of study {name} goes on as its next attempt")
    _say_how_to_train(client, name)


def _say_how_to_train(client: Client, name: str) -> None:
    if not client.study(name).status.active:
        print_line(f"train it: convscout resume {name} --server {client.url}")
