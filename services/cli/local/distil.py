"""Using what a study came to, on this machine: distil."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscout.services.cli.display import display, print_distilled
from convscout.services.cli.output import print_json
from convscout.services.config.study_ref import StudyRef
from convscout.services.studies import distillation
from convscout.services.studies.distillation import DistillationConfig


def distil(
    ref: StudyRef,
    *,
    family: str,
    params: int,
    epochs: int | None,
    seeds: int,
    twins: bool,
    time_s: float,
    formats: Sequence[str],
    to: Path | None,
    json: bool,
) -> None:
    """Train one small network to answer as the study's ensemble does, and export it."""
    wanted = DistillationConfig(
        family=family, params=params, epochs=epochs, seeds=seeds, twins=twins, time_s=time_s
    )
    with display(quiet=json) as listener:
        found = distillation.distil(ref, wanted, listener, to, formats)
    if json:
        print_json(found.to_dict())
    else:
        print_distilled(found)
