"""Who hears of progress: the caller's listener, or the terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from convscout.services.cli.display import display
from convscout.services.events.events import Listener


def listening(listener: Listener | None) -> AbstractContextManager[Listener]:
    """``listener``, or the terminal's display while the context lasts."""
    return nullcontext(listener) if listener else display()
