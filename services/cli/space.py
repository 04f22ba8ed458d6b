"""Looking at the design space: families, space."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.options import JsonOption
from services.cli.output import print_json, print_table, summary_of

PANEL = "Look at what there is"


def add_to(app: typer.Typer) -> None:
    """Make the commands of this file known."""
    app.command("families", rich_help_panel=PANEL)(families)
    app.command("space", rich_help_panel=PANEL)(space)


def families(json: JsonOption = False) -> None:
    """List the architecture families there are.

    Example: convscout families --json
    """
    from search_space.architecture import families as registry

    found = [
        {
            "name": name,
            "searched": family.searched,
            "about": summary_of(family).partition(": ")[2],
            "knobs": list(family.knobs()),
            "variants": list(family.variants),
        }
        for name, family in registry.items()
    ]
    broken = [{"name": name, "error": error} for name, error in registry.broken.items()]
    if json:
        print_json({"families": found, "broken": broken})
        return
    rows = [
        [str(each["name"]), "yes" if each["searched"] else "when named", str(each["about"])] for each in found
    ]
    print_table(
        ["family", "searched", "about"],
        [*rows, *([each["name"], "broken", each["error"]] for each in broken)],
    )


def space(
    family: Annotated[
        list[str] | None, typer.Argument(metavar="[FAMILY]...", help="Only these families.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List every knob of the search with its default and range; a configuration file can narrow them.

    Example: convscout space resnet
    """
    from services.config import whole_space

    knobs = whole_space(tuple(family or ()), {}).knobs()
    found = [
        {"name": name, "default": knob.default, "range": knob.range_text(), "about": knob.help}
        for name, knob in knobs.items()
    ]
    if json:
        print_json(found)
    else:
        columns = ["name", "default", "range", "about"]
        print_table(["knob", *columns[1:]], [[str(each[column]) for column in columns] for each in found])
