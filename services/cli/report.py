"""Looking at studies: report."""

from __future__ import annotations

import typer

from convscout.services.cli import local
from convscout.services.cli.options import (
    HomeOption,
    JsonOption,
    NameArgument,
    OutputDirectory,
    StorageOption,
)
from convscout.services.cli.remote import report as remote
from convscout.services.cli.remote.dispatch import run_on_server
from convscout.services.config.home import Home

PANEL = "Look at studies"


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("report", rich_help_panel=PANEL)(report)


@run_on_server(remote.report)
def report(
    name: NameArgument,
    output: OutputDirectory = None,
    home: HomeOption = None,
    storage: StorageOption = None,
    json: JsonOption = False,
) -> None:
    """Tell a study, finished or running, as a page that holds all it shows, and as Markdown with pictures beside it.

    The images, what was tried and what helped, milestones, the small and fast, the ensemble, its mistakes, what it took
    and how to repeat it.

    Example: convscout report quickstart --output report
    """
    local.report.report(Home.at(home, storage).study(name), output, json=json)
