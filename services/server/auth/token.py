"""The token of the service: from a file, from the environment, or made when the service first starts."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import NamedTuple

from convscout.services.system.private_files import TOKEN_VARIABLE, read_token, write_private


class Token(NamedTuple):
    """``value`` is what clients have to know, ``source`` where a person finds it.

    ``chosen`` says whether a person gave it, without which the service listens on this machine alone.
    """

    value: str
    source: str
    chosen: bool


def service_token(directory: Path, file: Path | None) -> Token:
    """The token in ``file``, or in the environment, or in ``directory``, where one is made if there is none.

    The environment forgets it, so that no process that the service starts inherits it. Raises ``ConfigError`` for a
    token that is too short, and for a file that others may read.
    """
    given = read_token(file)
    os.environ.pop(TOKEN_VARIABLE, None)
    if given:
        return Token(given, str(file) if file else TOKEN_VARIABLE, chosen=True)
    kept = directory / "token"
    if not kept.exists():
        write_private(kept, secrets.token_hex(32) + "\n")
    return Token(read_token(kept), str(kept), chosen=False)
