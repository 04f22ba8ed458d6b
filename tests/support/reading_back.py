"""Exports that are read back in this process, where it does not matter that they can be read in a fresh one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from convscout.services.export.reload import Reloaded, ask
from convscout.trials.data.mapped_images import Pixels
from convscout.trials.evaluation.metrics import Probabilities


@contextmanager
def read_back_here(module: str = "writer") -> Iterator[None]:
    """Within, that ``module`` starts no process to read an export back, which takes some four seconds of a core."""
    with patch(f"convscout.services.export.{module}.Reloaded", _ReadBackHere):
        yield


class _ReadBackHere(Reloaded):
    """A format that is read back in this process."""

    def __init__(self, reader: str, directory: Path) -> None:
        module, _, function = reader.partition(":")
        self._read = partial(getattr(import_module(module), function), directory)

    def __exit__(self, *exception: object) -> None:
        """There is no process to end."""

    def answers(self, batches: Sequence[Pixels]) -> Probabilities:
        return ask(self._read(), batches)
