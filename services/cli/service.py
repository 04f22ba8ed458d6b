"""Around the search: ui, doctor, migrate."""

from __future__ import annotations

from typing import Annotated

import typer

from convscout.services.cli import local
from convscout.services.cli.options import HomeOption, JsonOption, StorageOption
from convscout.services.config.home import Home

PANEL = "Around it"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("ui", rich_help_panel=PANEL)(ui)
    app.command("doctor", rich_help_panel=PANEL)(doctor)
    app.command("migrate", rich_help_panel=PANEL)(migrate)


def ui(
    home: HomeOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="PORT", help="Port on this machine.")] = 5000,
) -> None:
    """Browse every trial in the MLflow user interface, on this machine only, until Ctrl-C.

    Example: convscout ui --port 5001
    """
    local.service.ui(Home.at(home), port=port)


def doctor(
    home: HomeOption = None,
    storage: StorageOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="PORT", help="Port `ui` would use.")] = 5000,
    json: JsonOption = False,
) -> None:
    """Say what this machine offers, whether everything is in place, and what to mend.

    Example: convscout doctor
    """
    if not local.service.doctor(Home.at(home, storage), port=port, json=json):
        raise typer.Exit(1)


def migrate(home: HomeOption = None, storage: StorageOption = None) -> None:
    """Bring a ledger that an older convscout or Optuna wrote to the present schema.

    A ledger in the home is migrated by every command that opens it, which makes a copy. Of one in PostgreSQL make a
    copy before, with pg_dump.

    Example: convscout migrate --home runs
    """
    local.service.migrate(Home.at(home, storage))
