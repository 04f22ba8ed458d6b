"""Fuzzes the REST API of the real service by its own OpenAPI: ``python -m tests.support.fuzzing --cases 10000``.

Every check of schemathesis is on. It prints how often each operation was asked and how it answered, and ends with 1
when a check failed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import tomlkit

from tests.support.fuzz_hooks import COUNTS_VARIABLE
from tests.support.fuzzed_home import DATASET, STUDIES, fuzzed_home, token_of
from tests.support.places import ROOT
from tests.support.service import program

_LIKELY = 0.8  # of a name in an address to be one that there is

# What was made up may well name nothing that there is (404), ask for what is not possible now (409) or was changed in
# between (412). And settings can be spelled right and yet not be had: together, on this machine, of this study (422).
_FAIR_ANSWERS = ["2xx", "304", "404", "409", "412", "422"]

# What is wrong is refused, by whichever of its faults is found first: before a body is read, what is said of the study
# as it was then may no longer hold (412, RFC 9110, 13.2.1).
_FAIR_REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "412", "415", "422", "428", "429"]


@dataclass
class Outcome:
    """What some rounds came to: answers by operation and status, and what schemathesis said of those that failed."""

    answers: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many requests were made."""
        return sum(sum(each.values()) for each in self.answers.values())

    def table(self) -> Iterator[str]:
        """A line for each operation."""
        for label, found in sorted(self.answers.items()):
            told = "  ".join(f"{status}: {times}" for status, times in sorted(found.items()))
            yield f"{sum(found.values()):6} {label:62} {told}"


FEWEST, LEAST_ROUND_S = 100, 10.0


def fuzz(cases: int, *, most_s: float = math.inf, seed: int = 1) -> Outcome:
    """Ask the service until there were so many ``cases``, or something failed, or the time is up.

    On a busy machine it takes longer, so that there are some cases after all.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="convscout-fuzz-") as directory:
        root = Path(directory)
        with fuzzed_home(root / "home") as (address, jobs):
            config = prepare(root, address, jobs)
            end_s = time.monotonic() + most_s
            for round in count(seed):
                left_s = end_s - time.monotonic()
                if outcome.failures or outcome.cases >= cases or (left_s <= 0 and outcome.cases > FEWEST):
                    break
                own_s = max(left_s, LEAST_ROUND_S)
                _one_round(outcome, config, address, seed=round, examples=_examples(cases), most_s=own_s)
    return outcome


def _examples(cases: int) -> int:
    """How many of each operation come to so many cases, as far as one can tell beforehand."""
    return max(5, cases // 75)


def prepare(root: Path, address: str, jobs: dict[str, str]) -> Path:
    """The configuration of schemathesis, and beside it what the service says of itself, which wants the token."""
    token = token_of(root / "home")
    with program(address, token) as client:
        (root / "openapi.json").write_text(client.get("/api/v1/openapi.json").text)
    config = root / "schemathesis.toml"
    config.write_text(tomlkit.dumps(_config(token, jobs)))
    return config


def _one_round(
    outcome: Outcome, config: Path, address: str, *, seed: int, examples: int, most_s: float
) -> None:
    counts = config.with_name("counts.json")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    command += ["openapi.json", "--url", address, "--seed", str(seed), "--no-color"]
    command += ["--max-examples", str(examples)]
    if most_s < math.inf:
        command += ["--max-time", str(max(1, round(most_s)))]
    environment = os.environ | {
        COUNTS_VARIABLE: str(counts),
        "SCHEMATHESIS_HOOKS": "tests.support.fuzz_hooks",
        "PYTHONPATH": str(ROOT),  # where the hooks are found, for it works in another directory
    }
    done = subprocess.run(command, cwd=config.parent, env=environment, capture_output=True, text=True)
    if counts.exists():  # else it ended before it began, and says why
        for label, found in json.loads(counts.read_text()).items():
            outcome.answers.setdefault(label, Counter()).update(found)
        counts.unlink()
    if done.returncode:
        outcome.failures.append(f"{done.stdout}\n{done.stderr}")


def _config(token: str, jobs: dict[str, str]) -> Any:
    """What schemathesis is told: the token, and names of things that there are."""
    names = {
        "studies": STUDIES,
        "datasets": (DATASET, "digits"),
        "trials": (0, 1, 2, 3),
        "exports": ("study",),
        "data": ("digits",),
        "jobs": tuple(jobs.values()),
    }
    return {
        "auth": {"openapi": {"token": {"bearer": token}}},
        "continue-on-failure": True,
        "request-timeout": 60,
        "max-stream-events": 1,
        # that a wrong token is refused is checked for each operation; to fuzz it only keeps the rest from being reached
        "generation": {"with-security-parameters": False},
        "dictionaries": {name: {"values": list(values)} for name, values in names.items()},
        "parameters": {
            "path.name": _mostly("studies"),
            "path.number": _mostly("trials"),
            "path.export": _mostly("exports"),
            "path.id": _mostly("jobs"),
            "body.settings.data": _mostly("data"),
        },
        "checks": {
            "positive_data_acceptance": {"expected-statuses": _FAIR_ANSWERS},
            "negative_data_rejection": {"expected-statuses": _FAIR_REFUSALS},
        },
        "operations": [
            {
                "include-path-regex": "^/api/v1/datasets/",
                "parameters": {"path.name": _mostly("datasets")},
            }
        ],
    }


def _mostly(dictionary: str) -> dict[str, object]:
    return {"dictionary": dictionary, "probability": _LIKELY}


def main() -> int:
    """Fuzz as the command line says, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="requests to make at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=math.inf, help="fewer, if it takes longer")
    asked = parser.parse_args()
    outcome = fuzz(asked.cases, most_s=asked.seconds, seed=asked.seed)
    print("\n".join([*outcome.failures, *outcome.table()]))
    print(
        f"{outcome.cases} cases of {len(outcome.answers)} operations, {len(outcome.failures)} rounds with failures"
    )
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
