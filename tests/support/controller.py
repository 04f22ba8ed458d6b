"""A real controller to be killed, which starts the study or resumes it."""

from __future__ import annotations

from pathlib import Path

from convscout.services.config.home import Home
from tests.support.studies import bundle_alone, search_or_resume, tiny_config

STUDY = "killed"
TRIALS = 6
EPOCHS = 4
SCOUTS = 3  # from each of which a contender grows


@bundle_alone()
def main(root: Path) -> None:
    """Run the study under ``root`` to its end."""
    config = tiny_config(STUDY, executor="ray", workers=2, trials=TRIALS, epochs=EPOCHS, scouts=SCOUTS)
    search_or_resume(Home(root), config)
