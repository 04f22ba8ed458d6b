"""Around the search: ui, doctor, migrate."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.options import HomeOption, JsonOption, StorageOption
from services.cli.output import print_json, print_line
from services.home import Home

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
    from services.ui import open_ui

    open_ui(Home.at(home), port=port)


def doctor(
    home: HomeOption = None,
    storage: StorageOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="PORT", help="Port `ui` would use.")] = 5000,
    json: JsonOption = False,
) -> None:
    """Say what this machine offers, whether everything is in place, and what to mend.

    Example: convscout doctor
    """
    from services.doctor import Status, examine

    findings = examine(Home.at(home, storage), port=port)
    if json:
        print_json([finding.to_dict() for finding in findings])
    else:
        for finding in findings:
            print_line(f"{finding.status:<4}  {finding.subject}: {finding.text}")
            if finding.mend:
                print_line(f"      → {finding.mend}")
    if any(finding.status is Status.FAIL for finding in findings):
        raise typer.Exit(1)


def migrate(home: HomeOption = None, storage: StorageOption = None) -> None:
    """Bring a ledger that an older convscout or Optuna wrote to the present schema.

    A ledger in the home is migrated by every command that opens it, which makes a copy. Of one in PostgreSQL make a
    copy before, with pg_dump.

    Example: convscout migrate --home runs
    """
    from services.storage import open_storage, shown

    at = Home.at(home, storage)
    if not at.has_ledger:
        print_line(f"there is no ledger under {at.root} yet")
        return
    open_storage(at, confirmed=True)
    print_line(f"the ledger {shown(at)} has the present schema")
