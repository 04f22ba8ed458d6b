"""A real controller, which ends as the command line does: with one line of cause and the exit code of the error."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.studies import run
from tests.support.studies import TINY_SPACE, bundle_alone, quiet, tiny_config

STUDY = "owned"
TRIALS = 3
EPOCHS = 16
RAY_EPOCHS = 24


def config() -> StudyConfig:
    return tiny_config(STUDY, trials=TRIALS, epochs=EPOCHS)


def config_through_ray() -> StudyConfig:
    """With small batches, so that there is the time to find and freeze a worker twice."""
    space = {**TINY_SPACE, "recipe.batch_size": 16}
    return tiny_config(STUDY, executor="ray", workers=1, trials=TRIALS, epochs=RAY_EPOCHS, space=space)


def main(root: Path, what: str) -> None:
    """Do ``what`` with the study under ``root``: search, search-through-ray, resume or take-over."""
    try:
        _do(what, Home(root))
    except ConvscoutError as error:
        print(f"error: {error.message}\nnext: {error.next_command}", flush=True)
        sys.exit(error.exit_code)


@bundle_alone()
def _do(what: str, home: Home) -> None:
    began = time.time()
    match what:
        case "search":
            run.search(config(), home, quiet, began)
        case "search-through-ray":
            run.search(config_through_ray(), home, quiet, began)
        case _:
            run.resume(home.study(STUDY), quiet, began, take_over=what == "take-over")
