"""Runs commands one after another in this process and prints as JSON what heavy packages each of them brought in.

python -m tests.support.imported '[["studies", "--home", "HOME"], …]'
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from convscout.services.cli import main

HEAVY = frozenset(
    {
        "alembic",
        "captum",
        "matplotlib",
        "mlflow",
        "onnx",
        "onnxruntime",
        "pandas",
        "PIL",
        "ray",
        "scipy",
        "sklearn",
        "torch",
        "torchvision",
    }
)


def imported_by(command: Sequence[str]) -> dict[str, object]:
    """How ``command`` ended, and what of ``HEAVY`` it imported that was not there before."""
    before = HEAVY & sys.modules.keys()
    try:
        with redirect_stdout(io.StringIO()):
            main(list(command))
    except SystemExit as end:
        return {"code": end.code, "heavy": sorted(HEAVY & sys.modules.keys() - before)}
    raise AssertionError(f"{command} did not end")


if __name__ == "__main__":
    print(json.dumps([imported_by(command) for command in json.loads(sys.argv[1])]))
