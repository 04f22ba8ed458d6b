"""Results of a study that has trials: its export, other ensembles, the front of ensembles, its runs in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.changes import extend
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.study_ref import StudyRef
from convscout.services.ensembles.ensemble import Ensemble
from convscout.services.ensembles.front import COSTS, EnsembleCost, FrontPoint, front
from convscout.services.ensembles.library import EnsembleLimits
from convscout.services.ensembles.selection import select
from convscout.services.events.events import Listener, ignore
from convscout.services.export.writer import refuse_left_out
from convscout.services.ledger.ledger import Ledger
from convscout.services.plotting.ensemble_front import write_front
from convscout.services.studies.finish import Finish
from convscout.services.studies.session import own, same_data
from convscout.services.tracking.source import ValidationLabels


def export(
    ref: StudyRef,
    directory: Path | None = None,
    listener: Listener = ignore,
    formats: Sequence[str] = (),
) -> Path:
    """Write the study's ensemble to ``directory`` (default: its own), verified; returns where it lies.

    ``formats`` are those to write; to its own directory the study's come with them. Raises ``ConfigError`` for one that
    there is not, and ``ConvscoutError``, once all others are in place, when one of them had to be left out.
    """
    config, finish = _finish(ref, {"formats": list(formats)} if formats else {}, listener)
    target = finish.export(directory, config.formats if formats else ())
    refuse_left_out(target, config.formats if formats else ())
    return target


def ensemble(
    ref: StudyRef,
    changes: Mapping[str, Any],
    to: Path | None,
    listener: Listener,
    formats: Sequence[str] = (),
) -> Ensemble:
    """Another ensemble of the study, under its settings with ``changes``; exported to the directory ``to``, if any.

    ``formats`` are those to export, the study's unless given. Raises ``ConfigError``, and ``UserError`` when no trial
    is within the limits.
    """
    config, finish = _finish(ref, changes, listener)
    found = select(finish.library(EnsembleLimits.of(config)), config.ensemble_strategy)
    if to:
        finish.write(found, to, formats)
        refuse_left_out(to, formats)
    return found


def ensemble_front(
    ref: StudyRef, changes: Mapping[str, Any], cost: str, listener: Listener
) -> tuple[list[FrontPoint], Path, EnsembleCost]:
    """The best ensembles at each ``cost``, and where they were drawn; raises as ``ensemble`` does."""
    config, finish = _finish(ref, changes, listener)
    library = finish.library(EnsembleLimits.of(config), timed=cost == "latency")
    found = front(library, COSTS[cost])
    path = ref.directory / "plots" / f"ensemble-front-{cost}.png"
    write_front(ref.name, library, found, COSTS[cost], path)
    return found, path, COSTS[cost]


def _finish(ref: StudyRef, changes: Mapping[str, Any], listener: Listener) -> tuple[StudyConfig, Finish]:
    """The study's settings with ``changes``, and what ends it, without holding it."""
    ledger = Ledger.open(ref)
    config = extend(ledger.config, changes)
    return config, Finish(ledger, same_data(ledger, ledger.config, listener), listener)


def sync(ref: StudyRef, listener: Listener) -> int:
    """Bring MLflow up to date with a study that is not running; returns how many trials it lacked in part.

    All that MLflow then has is compared with the ledger. Raises ``ConvscoutError`` where they differ.
    """
    from convscout.services.tracking import rebuild, store  # MLflow takes seconds to import

    Ledger.require(ref)
    with own(ref, listener) as ledger:
        splits = same_data(ledger, ledger.config, listener)
        target = store.TrackingStore.at(ref.home)
        behind, left = rebuild.rebuild(ledger, target, ValidationLabels.of(splits))
    if left:
        more = f", and {len(left) - 1} more" if len(left) > 1 else ""
        raise ConvscoutError(
            f"MLflow was brought up to date and still differs from the ledger: {left[0]}{more}",
            next_command=f"convscout check {ref.name}",
        )
    return behind
