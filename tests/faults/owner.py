"""A real controller: ``python -m tests.faults.owner HOME search|search-through-ray|resume|take-over``.

It ends as the command line does: with one line of cause and the exit code of the error.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from search_space.errors import ConvscoutError
from services import runner
from services.config import StudyConfig
from services.home import Home
from tests.services.studies import TINY_SPACE, bundle_alone, quiet, tiny_config

STUDY = "owned"
TRIALS = 3
EPOCHS = 16
RAY_EPOCHS = 100


def config() -> StudyConfig:
    return tiny_config(STUDY, trials=TRIALS, epochs=EPOCHS)


def config_through_ray() -> StudyConfig:
    """With small batches, so that there is the time to find and freeze a worker twice."""
    space = {**TINY_SPACE, "recipe.batch_size": 16}
    return tiny_config(STUDY, executor="ray", workers=1, trials=TRIALS, epochs=RAY_EPOCHS, space=space)


def main() -> None:
    home, began = Home(Path(sys.argv[1])), time.time()
    match sys.argv[2]:
        case "search":
            runner.search(config(), home, quiet, began)
        case "search-through-ray":
            runner.search(config_through_ray(), home, quiet, began)
        case word:
            runner.resume(STUDY, home, quiet, began, take_over=word == "take-over")


if __name__ == "__main__":
    try:
        with bundle_alone():
            main()
    except ConvscoutError as error:
        print(f"error: {error.message}\nnext: {error.next_command}", flush=True)
        sys.exit(error.exit_code)
