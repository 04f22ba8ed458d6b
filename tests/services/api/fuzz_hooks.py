"""What schemathesis is told to note: how often each operation was asked, and with which status it answered."""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from pathlib import Path

import schemathesis
from schemathesis import Case, HookContext, Response

COUNTS_VARIABLE = "CONVSCOUT_FUZZ_COUNTS"
_counts: dict[str, Counter[int]] = {}


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Count an answer."""
    _counts.setdefault(case.operation.label, Counter())[response.status_code] += 1


@atexit.register
def _write() -> None:
    if path := os.environ.get(COUNTS_VARIABLE):
        Path(path).write_text(json.dumps(_counts))
