"""Using what a study came to, on this machine: explain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscout.search_space.errors import DataError
from convscout.services.cli.display import display
from convscout.services.cli.output import print_json, print_line
from convscout.services.config.home import Home
from convscout.services.config.study_ref import StudyRef
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.events.events import Listener, Notice
from convscout.services.explaining.explain import ExplainConfig, Written
from convscout.services.explaining.explain import explain as draw
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.session import load_images
from convscout.services.tracking.relocation import settle
from convscout.trials.data.splits import DataSplits


def explain(
    home: Home,
    directory: Path,
    images: Sequence[str],
    *,
    output: Path,
    methods: Sequence[str],
    class_name: str | None,
    members: int | None,
    filters: bool,
    units: int,
    data: str | None,
    study: str | None,
    json: bool,
) -> None:
    """Draw what an exported ensemble looks at, and show it in MLflow with ``study`` where one is named."""
    if study is not None:
        Ledger.require(home.study(study))
    ensemble = load_bundle(directory)
    wanted = ExplainConfig(
        methods=methods, class_name=class_name, members=members, filters=filters, units=units
    )
    with display(quiet=json) as listener:
        if study is not None:
            settle(home, lambda text: listener(Notice(text=text)))
        splits = _images_for_units(data, home, listener, ensemble) if units and data is not None else None
        found = draw(ensemble, list(images), wanted, output, listener, splits)
    logged = _log(home.study(study), output) if study is not None else ""
    if json:
        print_json({"output": str(output), **found.to_dict(), **({"mlflow": logged} if logged else {})})
        return
    _tell(found, output, logged)
    _refuse_unreadable(found)


def _images_for_units(data: str, home: Home, listener: Listener, ensemble: TrainedEnsemble) -> DataSplits:
    size, white = ensemble.image.image_size, ensemble.white
    splits = load_images(data, home, listener, white=white, image_size=size)
    if splits.image.in_channels != ensemble.image.in_channels:
        raise DataError(f"{data} has images of other colours than this ensemble wants; convert them first")
    return splits


def _log(ref: StudyRef, output: Path) -> str:
    """Into MLflow; returns what came of it, as explanations are whole without."""
    # MLflow takes two seconds to import, and only --study needs it
    from convscout.services.tracking.additions import EXPLANATIONS
    from convscout.services.tracking.explanations import log_explanations
    from convscout.services.tracking.store import TRACKING_ERRORS, TrackingStore

    try:
        if log_explanations(TrackingStore.at(ref.home), Ledger.open(ref), output):
            return f"in MLflow with study {ref.name}, under {EXPLANATIONS}"
    except TRACKING_ERRORS as error:
        first_line = next(iter(str(error).splitlines()), "")
        return f"not in MLflow, which does not answer: {type(error).__name__}: {first_line}"
    return f"not in MLflow, which has no run of study {ref.name}; make it with: convscout sync {ref.name}"


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


def _refuse_unreadable(found: Written) -> None:
    """Raise ``DataError`` where files could not be read."""
    if found.unreadable:
        named = "; ".join(f"{path} {why}" for path, why in list(found.unreadable.items())[:3])
        total = len(found.unreadable) + len(found.explanations)
        raise DataError(f"{len(found.unreadable)} of {total} files could not be read as images: {named}")
