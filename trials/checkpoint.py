"""The trial's directory: epoch state that survives a crash at any moment.

A file is written under a temporary name, fsynced and renamed in one step to a name that carries its
own hash (``epoch-0003.8f14e45fceea167a.pt``), so a file and its hash can never disagree after a crash.
Two generations are kept: when the newest is damaged, the one before it is used.

    epoch-EEEE.HASH.pt             everything needed to go on after epoch E
    best-EEEE.HASH.safetensors     weights of the best epoch and its validation probabilities
    attempt                        number of the attempt that may write here
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from search_space.errors import CorruptCheckpointError, StaleAttemptError

KEEP = 2
_NAME = re.compile(r"(?P<kind>epoch|best)-(?P<epoch>\d{4})\.(?P<hash>[0-9a-f]{16})\.(pt|safetensors)")
_WEIGHTS = "weights."
_PROBABILITIES = "validation_probabilities"


@dataclass(frozen=True, kw_only=True, eq=False)
class BestEpoch:
    """What an ensemble needs of a trial: ``weights`` by name and ``probabilities`` (N, K) float32."""

    epoch: int
    weights: dict[str, Tensor]
    probabilities: Tensor


def atomic_write(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the whole new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # else the rename itself could be lost with the power
    finally:
        os.close(directory)


class TrialDirectory:
    """Reads and writes the files of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, attempt: int) -> None:
        """Make ``attempt`` the only one that may write here, and sweep up what a crash left."""
        self.path.mkdir(parents=True, exist_ok=True)
        atomic_write(self.path / "attempt", str(attempt).encode())
        for leftover in self.path.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def check_attempt(self, attempt: int) -> None:
        """Raise ``StaleAttemptError`` when a newer attempt has claimed this directory."""
        current = int((self.path / "attempt").read_text())
        if current != attempt:
            raise StaleAttemptError(
                f"attempt {attempt} of {self.path.name} was replaced by attempt {current}"
            )

    def save_epoch(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Keep ``state`` (tensors and plain types) as what training needs to go on after ``epoch``."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        self._keep("epoch", epoch, buffer.getvalue(), "pt", keep=KEEP)

    def load_epoch(self) -> dict[str, Any] | None:
        """The newest undamaged epoch state, or None when there is none."""
        for path in self._files("epoch"):
            try:
                state: dict[str, Any] = torch.load(io.BytesIO(_verified(path)), weights_only=True)
                return state
            except CorruptCheckpointError:
                continue
        return None

    def save_best(self, epoch: int, weights: Mapping[str, Tensor], probabilities: Tensor) -> None:
        """Keep ``weights`` and validation ``probabilities`` (N, K) as those of the best epoch so far."""
        tensors = {_WEIGHTS + name: value.contiguous() for name, value in weights.items()}
        tensors[_PROBABILITIES] = probabilities.contiguous()
        self._keep("best", epoch, save_safetensors(tensors), "safetensors", keep=1)

    def load_best(self) -> BestEpoch | None:
        """The best epoch that was kept undamaged, or None when there is none."""
        for path in self._files("best"):
            try:
                tensors = load_safetensors(_verified(path))
            except CorruptCheckpointError:
                continue
            probabilities = tensors.pop(_PROBABILITIES)
            weights = {name.removeprefix(_WEIGHTS): value for name, value in tensors.items()}
            return BestEpoch(epoch=_epoch_of(path), weights=weights, probabilities=probabilities)
        return None

    def best_file(self) -> Path | None:
        """Where the best epoch lies, for tracking and audits."""
        return next(iter(self._files("best")), None)

    def discard_epochs(self) -> None:
        """Free the space of epoch states, once the trial is final."""
        for path in self._files("epoch"):
            path.unlink(missing_ok=True)

    def _keep(self, kind: str, epoch: int, content: bytes, suffix: str, *, keep: int) -> None:
        digest = hashlib.sha256(content).hexdigest()[:16]
        atomic_write(self.path / f"{kind}-{epoch:04d}.{digest}.{suffix}", content)
        for old in self._files(kind)[keep:]:
            old.unlink(missing_ok=True)

    def _files(self, kind: str) -> list[Path]:
        """Files of one kind, newest epoch first."""
        found = [path for path in self.path.glob(f"{kind}-*") if _NAME.fullmatch(path.name)]
        return sorted(found, key=lambda path: (_epoch_of(path), path.stat().st_mtime_ns), reverse=True)


def _epoch_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match["epoch"])


def _verified(path: Path) -> bytes:
    """The file's content. torch and safetensors load flipped bits silently, so the hash is checked first."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest()[:16] != match["hash"]:
        raise CorruptCheckpointError(f"{path} does not match its hash")
    return content
