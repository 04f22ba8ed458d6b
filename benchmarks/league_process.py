"""One contestant as a process of its own: the same cores and the same time for all, and an end to all it started."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import psutil

GRACE = 1.25  # times its budget, after which a contestant is killed
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
_MARK = "CONVSCOUT_LEAGUE"  # in the environment of all processes of a contestant, whoever started them
_LONGEST_REASON = 200  # letters
_DEATH_S = 10.0

Result: TypeAlias = dict[str, Any]


def share_cores(count: int) -> None:
    """Leave this process, and all that it starts, the first ``count`` of its cores."""
    process = psutil.Process()
    available = process.cpu_affinity()
    if count > len(available):
        raise SystemExit(f"--cores {count}: there are {len(available)}")
    process.cpu_affinity(available[:count])


def run(
    command: Sequence[str],
    *,
    budget_s: float,
    cores: int,
    answer: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run ``command``, which writes its answer to ``answer``; what it says goes to ``log``.

    Returns the answer with ``took_s``; or with ``test_accuracy`` None and the ``reason`` why there is none.
    """
    mark = uuid4().hex
    equal = {**{name: str(cores) for name in THREADS}, "CUDA_VISIBLE_DEVICES": ""}
    variables = {**os.environ, **equal, **(environment or {}), _MARK: mark}
    answer.unlink(missing_ok=True)
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            process.wait(GRACE * budget_s)
            reason = None if answer.exists() else _last_line(log)
        except subprocess.TimeoutExpired:
            reason = f"killed after {GRACE} × its time"
        finally:
            _end(mark)
            process.wait()
    took_s = round(time.monotonic() - began, 1)
    if reason is not None:
        return {"test_accuracy": None, "reason": reason, "took_s": took_s}
    return {**json.loads(answer.read_text()), "took_s": took_s}


def _end(mark: str) -> None:
    """Kill every process that has ``mark``, also those that made themselves independent, as Ray's do."""
    while marked := [process for process in psutil.process_iter() if _has(process, mark)]:
        for process in marked:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(marked, timeout=_DEATH_S)


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(_MARK) == mark)
    except psutil.Error:  # it is gone, or another user's
        return False


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:_LONGEST_REASON] if lines else "it ended and said nothing"
