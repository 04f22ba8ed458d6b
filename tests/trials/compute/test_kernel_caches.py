"""How many compiled kernels a process keeps is limited, before the first operation reads the limit."""

from __future__ import annotations

import os
import subprocess
import sys

NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def limits(**environment: str) -> list[str]:
    # in a process of its own, as this one has them from its imports
    clean = {name: value for name, value in os.environ.items() if name not in NAMES}
    asked = f"import os, convscout.trials.compute; print(*(os.environ[name] for name in {NAMES}))"
    answer = subprocess.run(
        [sys.executable, "-c", asked],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()


def test_a_process_that_computes_keeps_the_kernels_of_a_few_networks() -> None:
    assert limits() == ["512", "64"]


def test_a_limit_that_a_person_has_set_is_left_as_it_is() -> None:
    assert limits(LRU_CACHE_CAPACITY="7") == ["512", "7"]
