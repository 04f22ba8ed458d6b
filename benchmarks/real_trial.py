"""Real trials, one at a time: a candidate with knobs set by hand, trained to its end as a worker would."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from convscout.search_space.errors import ConvscoutError
from convscout.search_space.knobs import Override, read_scalar
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.config import Measurement, TrialConfig
from convscout.trials.data.batches import TrainingData
from convscout.trials.training.run import Dispatch, TrialRun


def epochs(config: TrialConfig, data: TrainingData, directory: Path, device: str) -> Iterator[Measurement]:
    """Train the trial of ``config``, whose files stay in ``directory``; raises ``ConvscoutError`` if it fails."""
    TrialDirectory(directory).claim(config.attempt)
    run = TrialRun(Dispatch(config=config, directory=str(directory), device=device, reported=0), data)
    result = None
    while result is None:
        progress = run.epoch()
        result = progress.result
        if progress.measurement:
            yield progress.measurement
    if result.error:
        raise ConvscoutError(result.error)


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """``--set KNOB=VALUE``, as often as one likes."""
    parser.add_argument("--set", action="append", default=[], metavar="KNOB=VALUE", help="fix a knob")


def overrides(asked: argparse.Namespace) -> dict[str, Override]:
    """What ``--set`` fixes, for a ``SearchSpace``."""
    return {knob: read_scalar(text) for knob, _, text in (each.partition("=") for each in asked.set)}
