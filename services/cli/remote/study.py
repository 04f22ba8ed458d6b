"""Running a study at a service: search, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscout.services.cli.naming import name_fields
from convscout.services.cli.options import JsonOption, NameArgument
from convscout.services.cli.output import print_json, print_line

if TYPE_CHECKING:
    from convscout.services.client import Client

DetachOption = Annotated[
    bool,
    typer.Option(
        "--detach", help="With --server: return at once and let the study go on.", rich_help_panel="Service"
    ),
]


def search(
    client: Client, settings: dict[str, Any], detach: DetachOption = False, json: JsonOption = False
) -> None:
    """Begin a study there, and show how it goes on until it ends."""
    from convscout.services.cli.remote.follow import watch  # httpx and pydantic, for --server alone

    def taken() -> list[str]:
        return [each.name for deleted in (False, True) for each in client.studies(deleted=deleted)]

    begun = client.create(name_fields(settings, taken))
    if detach:
        _tell_detached(client, begun.name, begun.model_dump(mode="json"), json=json)
    else:
        watch(client, begun.name, None, json=json)


def resume(
    client: Client,
    settings: dict[str, Any],
    name: NameArgument,
    detach: DetachOption = False,
    json: JsonOption = False,
) -> None:
    """Let a study go on there, perhaps with more; one that runs is told of changes."""
    from convscout.services.cli.remote.follow import watch  # httpx and pydantic, for --server alone

    ran = client.study(name).status.live
    last = [event.id for event in client.events(name, follow=False)]  # what an earlier run told is not news
    begun = client.extend(name, settings) if settings else client.resume(name)
    if ran or detach:
        _tell_detached(client, name, begun.model_dump(mode="json"), json=json)
    else:
        watch(client, name, last[-1] if last else None, json=json)


def _tell_detached(client: Client, name: str, study: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(study)
        return
    print_line(f"study {name} is {study['status']} at {client.url}")
    print_line(f"look at it: convscout show {name} --server {client.url}")
