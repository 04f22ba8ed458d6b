"""The trial's directory: epoch state that survives a crash at any moment.

A file is written under a temporary name and renamed in one step to a name that carries its own hash
(``epoch-0003.8f14e45fceea167a.pt``), so a file and its hash can never disagree after a crash. Two
generations are kept: when the newest is damaged, the one before it is used.

What is renamed survives the death of every process; what is also fsynced, a loss of power. The best epoch
is fsynced by the ``save_epoch`` after it, in another thread, or when the trial ends (``settle``); until
then the best epoch before it stays.

    epoch-EEEE.HASH.pt             everything needed to go on after epoch E
    best-EEEE.HASH.safetensors     weights of the best epoch and its validation probabilities
    past-EEEE.HASH.safetensors     the same of epochs that were the best before it
    views-EEEE.HASH.safetensors    what other networks and views of that best epoch answered; can be asked again
    attempt                        number of the attempt that may write here; "ended" when none may any more
    discarded                      there when the epochs above were dropped on purpose
    precision.json                 number format and layout that all its attempts compute in
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from convscout.search_space.errors import CorruptCheckpointError, StaleAttemptError
from convscout.trials.checkpoints.durable_files import Durability, flush, put_file
from convscout.trials.checkpoints.kill_points import Write, durable

KEEP = 2
PAST = 2  # epochs that were the best before, whose weights can be averaged with it
_ENDED = b"ended"
_DISCARDED = "discarded"
_NAME = re.compile(
    r"(?P<kind>epoch|best|past|views)-(?P<epoch>\d{4})\.(?P<hash>[0-9a-f]{16})\.(pt|safetensors)"
)
_WEIGHTS = "weights."
_RAW = "raw."
_PROBABILITIES = "validation_probabilities"


@dataclass(frozen=True, kw_only=True, eq=False)
class BestEpoch:
    """What an ensemble needs of a trial: ``weights`` by name and ``probabilities`` (N, K) float32.

    Where these are averages over the steps of training, ``raw`` are the weights at its last step.
    """

    epoch: int
    weights: dict[str, Tensor]
    probabilities: Tensor
    raw: dict[str, Tensor] | None = None


class TrialDirectory:
    """Reads and writes the files of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, attempt: int) -> None:
        """Make ``attempt`` the only one that may write here, and sweep up what a crash left.

        The first begins with nothing: what lies there is of another trial, which the ledger no longer knows.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        put_file(self.path / "attempt", str(attempt).encode())
        unwanted = [path for path, whole in self.inspect().items() if attempt == 1 or not whole]
        for leftover in [*self.path.glob(".*.tmp"), *unwanted, self.path / _DISCARDED]:
            leftover.unlink(missing_ok=True)

    def check_attempt(self, attempt: int) -> None:
        """Raise ``StaleAttemptError`` when a newer attempt has claimed this directory or the trial is final."""
        current = self.attempt
        if current is None:
            raise StaleAttemptError(f"{self.path.name} is final; attempt {attempt} may write no more")
        if current != attempt:
            raise StaleAttemptError(
                f"attempt {attempt} of {self.path.name} was replaced by attempt {current}"
            )

    def save_epoch(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Keep ``state`` (tensors and plain types) as what training needs to go on after ``epoch``.

        It and the best epoch so far are safe from a loss of power then.
        """
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        self.settle()
        self._write("epoch", epoch, buffer.getbuffer(), "pt", synced=True)
        for old in self._files("best")[1:]:
            with suppress(FileNotFoundError):
                old.replace(old.with_name(old.name.replace("best", "past", 1)))
        for old in [*self._files("epoch")[KEEP:], *self._files("past")[PAST:]]:
            old.unlink(missing_ok=True)
        if not (self.path / "attempt").exists():  # the trial ended meanwhile, for good
            self.discard_epochs()

    def load_epoch(self) -> dict[str, Any] | None:
        """The newest undamaged epoch state, or None when there is none."""
        for path in self._files("epoch"):
            try:
                state: dict[str, Any] = torch.load(io.BytesIO(_verified(path)), weights_only=True)
                return state
            except CorruptCheckpointError:
                continue
        return None

    def save_best(
        self,
        epoch: int,
        weights: Mapping[str, Tensor],
        probabilities: Tensor,
        raw: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Keep ``weights`` and validation ``probabilities`` (N, K) as those of the best epoch so far.

        ``raw`` are the weights that were not averaged, where ``weights`` were.
        """
        tensors = {_WEIGHTS + name: value.contiguous() for name, value in weights.items()}
        tensors |= {_RAW + name: value.contiguous() for name, value in (raw or {}).items()}
        tensors[_PROBABILITIES] = probabilities.contiguous()
        self._write("best", epoch, save_safetensors(tensors), "safetensors", synced=False)

    def save_views(self, epoch: int, probabilities: Mapping[str, Tensor]) -> None:
        """Keep what other networks and views of the trial, by name, answered (N, K) when ``epoch`` was its best."""
        content = save_safetensors({name: each.contiguous() for name, each in probabilities.items()})
        for old in self._files("views"):
            old.unlink(missing_ok=True)
        self._write("views", epoch, content, "safetensors", synced=False)

    def load_views(self, epoch: int) -> dict[str, Tensor] | None:
        """What ``save_views`` kept for that ``epoch``, or None when there is none or it is damaged."""
        for path in self._files("views"):
            with suppress(CorruptCheckpointError):
                if _epoch_of(path) == epoch:
                    return load_safetensors(_verified(path))
        return None

    def settle(self) -> None:
        """Make the best epoch safe from a loss of power, too."""
        if path := self.best_file():
            with durable(Write.SETTLE):
                flush(path)
                flush(self.path)

    def load_best(self) -> BestEpoch | None:
        """The best epoch that was kept undamaged, or None when there is none."""
        for path in self._files("best"):
            with suppress(CorruptCheckpointError):
                return _read_best(path)
        return None

    def load_past(self) -> list[BestEpoch]:
        """The epochs that were the best before the best one, the newest first, as far as they are undamaged."""
        found = []
        for path in [*self._files("best")[1:], *self._files("past")][:PAST]:
            with suppress(CorruptCheckpointError):
                found.append(_read_best(path))
        return found

    def best_file(self) -> Path | None:
        """Where the best epoch lies, for tracking and audits."""
        return next(iter(self._files("best")), None)

    def close(self, *, resumable: bool = False) -> None:
        """The trial ended: let no attempt write here any more, and free the space of epoch states.

        If ``resumable`` they stay, also one that is just being written, and another attempt may ``claim`` them.
        Repeating it changes nothing.
        """
        with durable(Write.CLOSE):
            if not resumable:
                (self.path / "attempt").unlink(missing_ok=True)
                self.discard_epochs()
            elif self.claimed:
                put_file(self.path / "attempt", _ENDED)

    def discard_epochs(self) -> None:
        """Free the space of epoch states: the trial cannot go on."""
        for path in self._files("epoch"):
            with durable(Write.DISCARD):
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Free the space of all that was kept of the trial, if anything was, and leave a word that this was meant."""
        if not self.path.is_dir():
            return
        (self.path / _DISCARDED).touch()
        for path in self._all():
            with durable(Write.DISCARD):
                path.unlink(missing_ok=True)

    def inspect(self) -> dict[Path, bool]:
        """Every file of epochs, and whether it is what was written."""
        return {path: _is_whole(path) for path in self._all()}

    @property
    def claimed(self) -> bool:
        """Whether an attempt may write here."""
        return self.attempt is not None

    @property
    def discarded(self) -> bool:
        """Whether what was kept was dropped on purpose."""
        return (self.path / _DISCARDED).exists()

    @property
    def best_epoch(self) -> int | None:
        """The number of the best epoch that is kept undamaged, or None when there is none."""
        return self._newest("best")

    @property
    def last_epoch(self) -> int | None:
        """The number of the last epoch that can be gone on from, or None when there is none."""
        return self._newest("epoch")

    @property
    def finished(self) -> bool:
        """Whether no attempt may write here any more and the best epoch is kept."""
        return self.attempt is None and self.best_epoch is not None

    @property
    def resumable(self) -> bool:
        """Whether there is an epoch state to go on from."""
        return bool(self._files("epoch"))

    @property
    def num_bytes(self) -> int:
        """How much the files of epochs take on disk."""
        return sum(path.stat().st_size for path in self._all())

    @property
    def attempt(self) -> int | None:
        """Which attempt may write here, or None when the trial ended."""
        try:
            content = (self.path / "attempt").read_bytes()
        except FileNotFoundError:
            return None
        return None if content == _ENDED else int(content)

    def _write(
        self, kind: str, epoch: int, content: bytes | memoryview, suffix: str, *, synced: bool
    ) -> None:
        digest = hashlib.sha256(content).hexdigest()[:16]
        put_file(
            self.path / f"{kind}-{epoch:04d}.{digest}.{suffix}",
            content,
            Durability.DURABLE if synced else Durability.ATOMIC,
        )

    def _newest(self, kind: str) -> int | None:
        """The number of the newest undamaged one of a kind."""
        return next((_epoch_of(path) for path in self._files(kind) if _is_whole(path)), None)

    def _all(self) -> list[Path]:
        return [path for kind in ("epoch", "best", "past", "views") for path in self._files(kind)]

    def _files(self, kind: str) -> list[Path]:
        """Files of one kind, newest epoch first."""
        found = []
        for path in self.path.glob(f"{kind}-*"):
            with suppress(FileNotFoundError):  # another process may sweep it away
                if _NAME.fullmatch(path.name):
                    found.append((_epoch_of(path), path.stat().st_mtime_ns, path))
        return [path for *_, path in sorted(found, reverse=True)]


def _read_best(path: Path) -> BestEpoch:
    tensors = load_safetensors(_verified(path))
    raw = _named(tensors, _RAW)
    return BestEpoch(
        epoch=_epoch_of(path),
        weights=_named(tensors, _WEIGHTS),
        probabilities=tensors[_PROBABILITIES],
        raw=raw or None,
    )


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _epoch_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match["epoch"])


def _is_whole(path: Path) -> bool:
    try:
        _verified(path)
    except CorruptCheckpointError:
        return False
    return True


def _verified(path: Path) -> bytes:
    """The file's content. torch and safetensors load flipped bits silently, so the hash is checked first."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CorruptCheckpointError(f"{path} was swept away by another process") from None
    if hashlib.sha256(content).hexdigest()[:16] != match["hash"]:
        raise CorruptCheckpointError(f"{path} does not match its hash")
    return content
