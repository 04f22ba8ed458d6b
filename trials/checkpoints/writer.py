"""CheckpointWriter: has epochs of a trial written by another thread while the next one trains."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from convscout.trials.checkpoints.trial_directory import TrialDirectory


class CheckpointWriter:
    """Writes what ``attempt`` at a trial hands over, one epoch at a time, in the order it comes.

    At most one epoch is not on disk yet; when the block of ``with`` is left, none is.
    """

    def __init__(self, directory: TrialDirectory, attempt: int) -> None:
        self._directory = directory
        self._attempt = attempt
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def save_epoch(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Copy ``state`` and have the copy written as that of ``epoch``; waits for the epoch before."""
        self.wait()
        self._pending = self._thread.submit(self._write, epoch, snapshot(state))

    def wait(self) -> None:
        """Return when everything handed over is on disk; raises what went wrong in writing it."""
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:  # else it says more about the trial's end, and a lost epoch is only trained again
            self.wait()

    def _write(self, epoch: int, state: Mapping[str, Any]) -> None:
        self._directory.check_attempt(self._attempt)
        self._directory.save_epoch(epoch, state)


def snapshot(value: Any) -> Any:
    """A copy of nested mappings, lists and tuples on the CPU, which later training does not change."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(snapshot(item) for item in value)
    return value
