"""Using what a study came to: explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search_space.errors import ConfigError, DataError, Problem
from services.cli.options import HomeOption, JsonOption, complete_list, complete_study
from services.cli.output import print_json, print_line
from services.home import Home

if TYPE_CHECKING:
    from services.explaining.explain import Written

PANEL = "Use the result"


def _methods(incomplete: str) -> list[str]:
    from services.explaining.method import methods

    return complete_list(methods.names(), incomplete)


def add_to(app: typer.Typer) -> None:
    """Make the command of this file known."""
    app.command("explain", rich_help_panel=PANEL)(explain)


def explain(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory that `export` wrote.")],
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE...", help="Images, directories of images, or globs.")
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the pictures go; an earlier explanation is replaced.")
    ] = Path("explanations"),
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="saliency, integrated-gradients, grad-cam, occlusion; all unless given.",
            autocompletion=_methods,
        ),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Class to explain; the answer unless given.")
    ] = None,
    members: Annotated[
        str,
        typer.Option(metavar="N", help="Members beside the ensemble, the weightiest first; or all, none."),
    ] = "3",
    filters: Annotated[bool, typer.Option("--filters", help="Draw the filters of first layers too.")] = False,
    units: Annotated[
        int, typer.Option(min=0, max=64, metavar="N", help="Units of last layers to show, with --data.")
    ] = 0,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Its validation images are those that excite --units.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Show the pictures in MLflow, with that study.",
            autocompletion=complete_study,
        ),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Draw what the ensemble and its members look at in images: PNG files, one a network and image.

    Of red pixels an answer gains, of blue ones it loses; bright ones count either way.

    Example: convscout explain runs/studies/quickstart/export photo.png --methods grad-cam,occlusion --members all
    """
    count = _count(members)
    _check_asked(images, filters, units, data)
    from services.display import display
    from services.explaining.explain import Wanted
    from services.explaining.explain import explain as draw
    from services.exporters.bundle import load_bundle
    from services.predict import files_of
    from services.study import Ledger

    at = Home.at(home)
    if study is not None:
        Ledger.require(at, study)
    ensemble = load_bundle(directory)
    wanted = Wanted(
        methods=tuple(methods.split(",")) if methods else (),
        class_name=class_name,
        members=count,
        filters=filters,
        units=units,
    )
    with display(quiet=json) as listener:
        splits = None
        if units and data is not None:
            from services.runner import load_images

            splits = load_images(data, at, listener, image_size=ensemble.image.image_size)
            if splits.image.in_channels != ensemble.image.in_channels:
                raise DataError(
                    f"{data} has images of other colours than this ensemble wants; convert them first"
                )
        found = draw(ensemble, files_of(images or ()), wanted, output, listener, splits)
    logged = _log(at, study, output) if study is not None else ""
    if json:
        print_json({"output": str(output), **found.to_dict(), **({"mlflow": logged} if logged else {})})
        return
    _tell(found, output, logged)
    if found.unreadable:
        named = "; ".join(f"{path} {why}" for path, why in list(found.unreadable.items())[:3])
        total = len(found.unreadable) + len(found.explanations)
        raise DataError(f"{len(found.unreadable)} of {total} files could not be read as images: {named}")


def _count(members: str) -> int | None:
    """How many members, None for all. Raises ``ConfigError``."""
    if members in ("all", "none"):
        return None if members == "all" else 0
    if not members.isdecimal():
        rule = "must be a whole number, all or none"
        raise ConfigError([Problem(field="members", value=members, rule=rule)])
    return int(members)


def _check_asked(images: list[str] | None, filters: bool, units: int, data: str | None) -> None:
    problems = []
    if not (images or filters or units):
        rule = "give images to explain, or --filters, or --units N with --data DATA"
        problems.append(Problem(field="IMAGE", value="none", rule=rule))
    if units and data is None:
        rule = "needs --data DATA, whose validation images are shown"
        problems.append(Problem(field="units", value=units, rule=rule))
    if problems:
        raise ConfigError(problems)


def _log(home: Home, study: str, output: Path) -> str:
    """Into MLflow; returns what came of it, as explanations are whole without."""
    from services.tracking.explanations import FOLDER, log_explanations
    from services.tracking.store import TRACKING_ERRORS, TrackingStore

    try:
        if log_explanations(TrackingStore.at(home), study, output):
            return f"in MLflow with study {study}, under {FOLDER}"
    except TRACKING_ERRORS as error:
        first_line = next(iter(str(error).splitlines()), "")
        return f"not in MLflow, which does not answer: {type(error).__name__}: {first_line}"
    return f"not in MLflow, which has no run of study {study}; make it with: convscout sync {study}"


def _tell(found: Written, output: Path, logged: str) -> None:
    for each in found.explanations:
        top = ", ".join(f"{name} {probability:.1%}" for name, probability in each.top.items())
        print_line(f"{each.path}: {top}")
        for file in each.files.values():
            print_line(f"  {output / file}")
    for file in found.files:
        print_line(f"{output / file}")
    for what, why in found.skipped.items():
        print_line(f"left out: {what}: {why}")
    if logged:
        print_line(logged)
