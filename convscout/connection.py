"""A running service from Python: connect."""

from __future__ import annotations

from os import PathLike

from convscout.services.client import Client


def connect(
    url: str = "http://127.0.0.1:8765",
    token: str | None = None,
    *,
    token_file: str | PathLike[str] | None = None,
    home: str | PathLike[str] | None = None,
    insecure: bool = False,
) -> Client:
    """The service at ``url``, which ``convscout serve`` has started: its studies, trials, results and datasets.

    Unless it is given, the token is that of ``token_file``, of the variable ``CONVSCOUT_TOKEN``, or of the service of
    ``home`` where that is the one at ``url``. Over plain http it is sent to this machine alone, unless ``insecure``.
    """
    return Client(url, token, token_file=token_file, home=home, insecure=insecure)
