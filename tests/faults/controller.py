"""A real controller to be killed: ``python -m tests.faults.controller HOME`` starts the study or resumes it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from services import runner
from services.home import Home
from services.study import Ledger
from tests.services.studies import bundle_alone, quiet, tiny_config

STUDY = "killed"
TRIALS = 6
EPOCHS = 4


def main() -> None:
    home, began = Home(Path(sys.argv[1])), time.time()
    if STUDY in Ledger.names(home):
        runner.resume(STUDY, home, quiet, began)
    else:
        config = tiny_config(STUDY, executor="ray", workers=2, trials=TRIALS, epochs=EPOCHS)
        runner.search(config, home, quiet, began)


if __name__ == "__main__":
    with bundle_alone():
        main()
