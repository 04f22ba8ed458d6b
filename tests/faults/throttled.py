"""A real search on a machine whose steps take long: ``python -m tests.faults.throttled HOME`` starts or resumes it.

Every training step sleeps, as beside a neighbour that takes the processor, so that no trial trains all its epochs:
every schedule ends with the time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from services import runner
from services.home import Home
from services.study import Ledger
from tests.services.studies import bundle_alone, quiet, tiny_config
from trials import train

STUDY = "throttled"
TIME_S = 60.0
STEP_S = 0.4
EPOCHS = 40


def main() -> None:
    home, began = Home(Path(sys.argv[1])), time.time()
    if STUDY in Ledger.names(home):
        runner.resume(STUDY, home, quiet, began)
    else:
        # sixteen steps an epoch: some three epochs fit
        config = tiny_config(
            STUDY,
            trials=None,
            time_s=TIME_S,
            epochs=EPOCHS,
            space={"lenet.width": 4, "recipe.batch_size": 64},
        )
        runner.search(config, home, quiet, began)


def slow_step(*args: Any, **options: Any) -> Any:
    time.sleep(STEP_S)
    return training_step(*args, **options)


training_step = train.training_step

if __name__ == "__main__":
    with bundle_alone(), patch.object(train, "training_step", slow_step):
        main()
