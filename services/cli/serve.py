"""The service of all studies: serve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from convscout.search_space.errors import ConfigError, Problem
from convscout.services.cli import local
from convscout.services.cli.options import HomeOption, JsonOption, StorageOption
from convscout.services.config.home import Home

PANEL = "Around it"


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("serve", rich_help_panel=PANEL)(serve)


def serve(
    home: HomeOption = None,
    storage: StorageOption = None,
    host: Annotated[
        str,
        typer.Option(metavar="HOST", help="Address to listen at; any but this machine's own needs a token."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of the token, which only you can read; CONVSCOUT_TOKEN holds one too. Else one is made.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Another name by which browsers know this service; may be repeated."
        ),
    ] = None,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Directory whose images studies may be given by path; may be repeated."
        ),
    ] = None,
    cores: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processor cores that studies share; all unless given."),
    ] = None,
    requests_per_minute: Annotated[
        int,
        typer.Option(
            min=60, metavar="N", help="Requests of one client that are answered; more are told to wait."
        ),
    ] = 6000,
    json: JsonOption = False,
) -> None:
    """Start, watch and steer studies in a browser and over REST, until Ctrl-C. Studies go on without the service.

    It prints a link that signs in. Programs send Authorization: Bearer TOKEN to /api/v1.

    Example: convscout serve --data-root ~/pictures
    """
    roots = _existing(data_root or ())
    local.serve.serve(
        Home.at(home, storage),
        host=host,
        port=port,
        token_file=token_file,
        allow_hosts=allow_host or (),
        data_roots=roots,
        cores=cores,
        requests_per_minute=requests_per_minute,
        json=json,
    )


def _existing(roots: Sequence[Path]) -> tuple[Path, ...]:
    """``roots``, made absolute. Raises ``ConfigError`` with each that is no directory."""
    absolute = tuple(root.expanduser().resolve() for root in roots)
    wrong = [
        Problem(field="data-root", value=str(root), rule="must be a directory that exists")
        for root in absolute
        if not root.is_dir()
    ]
    if wrong:
        raise ConfigError(wrong)
    return absolute
