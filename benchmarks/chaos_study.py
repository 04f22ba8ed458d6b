"""A small study for `ckpt-chaos` (PyPI), which kills it at each change of a file and has it go on:

    ckpt-chaos run --modes before,torn,term,unsynced --max-points 40 --timeout 300 \\
        --result-cmd "python -m benchmarks.chaos_study --result {out}" -- python -m benchmarks.chaos_study {out}

It searches, or resumes what is in the directory. ``--result`` prints what must be as if nothing had happened: trials,
epochs, ensemble, and what ``convscout check`` finds.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.check import check
from convscout.services.studies.outcome import load_outcome
from tests.support.studies import bundle_alone, essence, search_or_resume, tiny_config

STUDY = "chaos"
OPTIONS = {"trials": 3, "epochs": 2, "ensemble_size": 2, "ensemble_strategy": "greedy"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--result", action="store_true", help="print what it came to")
    arguments = parser.parse_args()
    home = Home(arguments.directory)
    try:
        with bundle_alone():
            _show(home) if arguments.result else search_or_resume(home, tiny_config(STUDY, **OPTIONS))
    except ConvscoutError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)


def _show(home: Home) -> None:
    ledger = Ledger.open(home.study(STUDY))
    outcome = load_outcome(ledger)
    trials = [essence(record) for record in ledger.trials() if record.trained]
    members = outcome.ensemble.to_dict() if outcome else None
    print(json.dumps([trials, members], default=str, indent=1))
    print("\n".join(str(finding) for finding in check(home.study(STUDY))))


if __name__ == "__main__":
    main()
