"""Using what a study came to: serve-model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.options import parsed
from convscout.services.config.setting_types import Bytes

PANEL = "Use the result"


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("serve-model", rich_help_panel=PANEL)(serve_model)


def serve_model(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory that `export` wrote.")],
    host: Annotated[
        str,
        typer.Option(metavar="HOST", help="Address to listen at; any but this machine's own needs a token."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of the token that clients send as Authorization: Bearer TOKEN; CONVSCOUT_TOKEN holds one too.",
        ),
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, max=1024, metavar="N", help="Pictures in one run of the network.")
    ] = 32,
    max_wait: Annotated[
        float, typer.Option(min=0, max=1000, metavar="MS", help="Milliseconds a picture waits for others.")
    ] = 2.0,
    max_bytes: Annotated[
        str, typer.Option(metavar="BYTES", help="Size of a picture's file that is still read.")
    ] = "20MB",
    max_pictures: Annotated[
        int, typer.Option(min=1, max=1024, metavar="N", help="Pictures of one request.")
    ] = 32,
    queue: Annotated[
        int,
        typer.Option(
            min=1, max=100_000, metavar="N", help="Pictures in the house; more are told to come back."
        ),
    ] = 256,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, max=3600, metavar="S", help="Seconds to send a request, and to answer it."),
    ] = 30.0,
) -> None:
    """Answer pictures over HTTP, those that come together in one run of the network, until Ctrl-C.

    curl --data-binary @photo.jpg http://127.0.0.1:8080/predict?top=3 asks about one; GET / tells the other routes.

    Example: convscout serve-model runs/studies/quickstart/export --port 8080
    """
    local.serve_model.serve_model(
        directory,
        host=host,
        port=port,
        token_file=token_file,
        max_batch=max_batch,
        max_wait_s=max_wait / 1000,
        max_bytes=parsed("max-bytes", Bytes(1, 10**9), max_bytes),
        max_pictures=max_pictures,
        queue=queue,
        timeout_s=timeout,
    )
