"""A real search on a machine whose steps take long: ``python -m tests.support.throttled HOME`` starts or resumes it.

Every training step sleeps, as beside a neighbour that takes the processor, so that no trial trains all its epochs:
every schedule ends with the time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from convscout.services.config.home import Home
from convscout.trials.training import loop as train
from tests.support.studies import bundle_alone, search_or_resume, tiny_config

STUDY = "throttled"
TIME_S = 60.0
STEP_S = 0.4
EPOCHS = 40


def main() -> None:
    # sixteen steps an epoch: some three epochs fit
    config = tiny_config(
        STUDY,
        trials=None,
        time_s=TIME_S,
        epochs=EPOCHS,
        space={"lenet.width": 4, "recipe.batch_size": 64},
    )
    search_or_resume(Home(Path(sys.argv[1])), config)


def slow_step(*args: Any, **options: Any) -> Any:
    time.sleep(STEP_S)
    return training_step(*args, **options)


training_step = train.training_step

if __name__ == "__main__":
    with bundle_alone(), patch.object(train, "training_step", slow_step):
        main()
