"""What schemathesis is told to note: how often each operation was asked, and with which status it answered."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from pathlib import Path

import schemathesis
from schemathesis import Case, HookContext, Response

COUNTS_VARIABLE = "CONVSCOUT_FUZZ_COUNTS"
_counts: dict[str, Counter[int]] = {}
_one_at_a_time = threading.Lock()


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Count an answer, and write it down at once: schemathesis leaves without a word when its time is up."""
    with _one_at_a_time:
        _counts.setdefault(case.operation.label, Counter())[response.status_code] += 1
        if name := os.environ.get(COUNTS_VARIABLE):
            written = Path(f"{name}.new")
            written.write_text(json.dumps(_counts))
            written.replace(name)
