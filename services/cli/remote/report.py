"""The story of a service's study: report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convscout.services.cli.options import JsonOption, NameArgument, OutputDirectory
from convscout.services.cli.output import print_json, print_line
from convscout.services.cli.remote.progress import wait
from convscout.services.system.files import writing

if TYPE_CHECKING:
    from convscout.services.client import Client

PAGE = "report.html"


def report(
    client: Client, name: NameArgument, output: OutputDirectory = None, json: JsonOption = False
) -> None:
    """Tell a study there, and fetch the page if it is wanted here."""
    job = wait(client, client.make_report(name), "telling the study", quiet=json)
    if output is not None:
        page = client.report(name)
        with writing(output / PAGE) as file:
            file.write(page)
    if json:
        print_json(job.model_dump(mode="json"))
    elif output is not None:
        print_line(str(output / PAGE))
    else:
        print_line(f"{client.url}/api/v1/studies/{name}/report")
