"""Events of a study as they happen, over however many connections that takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import EventSource, SSEError

from convscout.search_space.errors import ConvscoutError
from convscout.services.client.connection import Busy, Connection, Patience

STATUS = "status"
_SILENCE_S = 60.0  # the service says something, if only that it lives, every quarter of a minute


@dataclass(frozen=True, kw_only=True)
class StudyEvent:
    """``kind`` is the type of a line in the study's event log, or ``status``; ``facts`` is what it says.

    ``id`` is where to go on after it: the argument ``after`` of ``Client.events``.
    """

    id: str
    kind: str
    facts: Mapping[str, Any]


def stream(connection: Connection, path: str, after: str | None, *, follow: bool) -> Iterator[StudyEvent]:
    """The events at ``path``, from the one with the id ``after`` on; unless ``follow``, those that have happened.

    A connection that breaks is made again, and nothing is told twice but the status. Raises ``ConvscoutError`` when
    that fails for longer than the connection's patience.
    """
    patience, last = Patience(connection.patience_s), after
    while True:
        headers = {} if last is None else {"Last-Event-ID": last}
        parameters = {"follow": str(follow).lower()}
        try:
            with connection.stream(path, read_s=_SILENCE_S, headers=headers, params=parameters) as response:
                for event in _read(response):
                    patience.refresh()
                    last = event.id or last
                    yield event
            if not follow:
                return
            patience.pause()  # a service that ends closes its streams
        except (httpx.TransportError, Busy) as error:
            connection.again(error, patience)


def _read(response: httpx.Response) -> Iterator[StudyEvent]:
    try:
        for each in EventSource(response).iter_sse():
            if each.data:  # a comment, which says that the service lives, comes as an event of nothing
                yield StudyEvent(id=each.id, kind=each.event, facts=json.loads(each.data))
    except (SSEError, ValueError) as error:
        raise ConvscoutError(f"{response.request.url} sends no events: {error}") from None
