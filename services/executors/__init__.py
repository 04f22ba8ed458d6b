"""Executors: what trains the trials that the search dispatches."""

from __future__ import annotations

import os

# Read by ray at its import, so set before any executor is imported: quiet, no phoning home, Ctrl-C and
# SIGTERM are ours. What a person has set is left as it is.
_DEFAULTS = dict(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AIR_NEW_OUTPUT="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    RAY_worker_niceness="0",  # its 15 would leave trials the crumbs of any busy machine
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_DISABLE_SIGINT_HANDLER="1",
    TUNE_DISABLE_STRICT_METRIC_CHECKING="1",
    TUNE_FORCE_TRIAL_CLEANUP_S="0",
    TUNE_GLOBAL_CHECKPOINT_S="1000000000",  # its state is disposable
    TUNE_WARN_THRESHOLD_S="60",
)
os.environ.update({name: value for name, value in _DEFAULTS.items() if name not in os.environ})
