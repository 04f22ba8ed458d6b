"""The application: its groups of commands and the options that come before any command."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated

import typer

from convscout.services.cli import (
    checking,
    data,
    distil,
    ensemble,
    evaluate,
    explain,
    export,
    families,
    plots,
    predict,
    report,
    serve,
    serve_model,
    service,
    space,
    steering,
    studies,
    study,
)

EPILOG = "A newcomer's two lines: convscout search --data digits --time 2m, then convscout ui."

app = typer.Typer(
    epilog=EPILOG,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"convscout {importlib.metadata.version('convscout')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Search the design space of convolutional image classifiers; get one verified ensemble."""


for group in (
    study,
    steering,
    studies,
    plots,
    report,
    checking,
    ensemble,
    distil,
    export,
    evaluate,
    explain,
    predict,
    data,
    families,
    space,
    serve_model,
    serve,
    service,
):
    group.add_to(app)
