"""MLflow's page as the service hands it out: what it may do, how it looks at a first visit, what is shown meanwhile."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256


def _script_source(script: str) -> str:
    """Of an inline script, for a content security policy."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


_PREFERENCES = {
    "mlflow.workflowType_v1": "machine_learning",  # else its pages are those for language models
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,  # else a panel opens for what the service does not offer
}
_FIRST_VISIT = (
    f"for (const [key, value] of Object.entries({json.dumps(_PREFERENCES)}))"
    " if (localStorage.getItem(key) === null) localStorage.setItem(key, JSON.stringify(value));"
)
# a refresh by <meta> would not load an address again that names a run after its #
_AGAIN = "setTimeout(() => location.reload(), 1000)"

STARTING = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MLflow is starting…</title>
<meta name="viewport" content="width=device-width"></head><body><main role="status"><h1>MLflow is starting…</h1>
<p>This takes a few seconds; the page follows by itself.</p></main><script>{_AGAIN}</script></body></html>
"""
"""Shown until MLflow answers."""
STARTING_POLICY = f"default-src 'none'; script-src {_script_source(_AGAIN)}; frame-ancestors 'none'"
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' {_script_source(_FIRST_VISIT)}",
        "style-src 'self' 'unsafe-inline'",  # its components write their styles while they run
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "frame-src blob:",  # it shows HTML files so, in a sandbox, and they inherit this policy
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""As strict as MLflow's page still works."""


def prepare(page: bytes) -> bytes:
    """MLflow's ``page``, which sets its preferences where this browser has none yet."""
    return page.replace(b"<head>", b"<head><script>" + _FIRST_VISIT.encode() + b"</script>", 1)
