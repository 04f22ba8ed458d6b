"""Looking at studies: report."""

from __future__ import annotations

import typer

from services.cli.options import HomeOption, JsonOption, NameArgument, OutputDirectory, StorageOption
from services.cli.output import print_json, print_line
from services.cli.remote import report as remote
from services.cli.remote.routing import served_by
from services.home import Home

PANEL = "Look at studies"


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("report", rich_help_panel=PANEL)(report)


@served_by(remote.report)
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
    from services.display import display
    from services.story.story import write_story

    with display(quiet=json) as listener:
        written = write_story(Home.at(home, storage), name, output, listener)
    if json:
        print_json({"study": name, "files": [str(path) for path in written]})
        return
    for path in written[:2]:
        print_line(str(path))
