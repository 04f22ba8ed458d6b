"""What every benchmark records and how: the machine, the versions, the date, and one JSON file of results.

The file goes to ``benchmarks/results``, or to the directory that ``CONVSCOUT_BENCHMARKS`` names.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from convscout.trials.compute.machine import cpu_name

RESULTS = Path(os.environ.get("CONVSCOUT_BENCHMARKS") or Path(__file__).parent / "results")
_LOAD_BEFORE = os.getloadavg()[0]  # of others: a benchmark soon makes a load of its own


def machine() -> dict[str, Any]:
    """Hardware, versions, and the load before the benchmark began and now (processes that want a core)."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": cpu_name(),
        "cores": len(psutil.Process().cpu_affinity()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_before": round(_LOAD_BEFORE, 2),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write(name: str, results: Sequence[dict[str, Any]], *, file: Path | None = None, **facts: Any) -> Path:
    """Write ``results`` with the command, the machine and ``facts`` to ``NAME.json``, or to ``file``."""
    path = file or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    record = {"command": command, "machine": machine(), **facts, "results": results}
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = [columns, ["---", *["--:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
