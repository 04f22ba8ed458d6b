"""The Python client of the service's REST API; it imports neither torch nor optuna."""

from __future__ import annotations

from convscout.services.client.client import Client, StudyEvent

__all__ = ["Client", "StudyEvent"]
