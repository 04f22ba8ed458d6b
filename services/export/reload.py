"""Reloading: what a written format answers in a fresh process, by nothing but its own runtime.

A format names the function that reads it back as ``MODULE:FUNCTION``; the process imports that and no more, so that
what needs only onnxruntime is proven to, and starts fast. It is asked through its standard input and answers
through its standard output: nothing is left behind, and it ends when whoever asks is killed.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, TypeAlias

import numpy as np

from convscout.search_space.errors import ConvscoutError
from convscout.trials.data.mapped_images import Pixels

if TYPE_CHECKING:
    from convscout.trials.evaluation.metrics import Probabilities  # which imports torch

Predictor: TypeAlias = "Callable[[Pixels], Probabilities]"
"""From (N, H, W, C) uint8 images to (N, K) float32 probabilities."""

_PATIENCE_S = 900.0  # for a runtime that hangs; none takes a tenth of it
_LENGTH = struct.Struct(">Q")  # of the questions, in bytes, in front of them


class Reloaded:
    """A format in ``directory``, which a fresh process reads back by the function ``reader`` once it is asked.

    ``reader`` is ``MODULE:FUNCTION``, a function from ``directory`` to a predictor, which the process imports at
    once: that takes the longest, and goes on while the format is still being written. Leaving the context ends it.
    """

    def __init__(self, reader: str, directory: Path) -> None:
        places = os.pathsep.join(map(os.path.abspath, sys.path))  # where this process finds its modules
        self._process = subprocess.Popen(
            # -P: nothing is imported from wherever it is started
            [sys.executable, "-P", "-m", __name__, reader, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": places},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def answers(self, batches: Sequence[Pixels]) -> Probabilities:
        """What it answers (N, K) to ``batches`` of images (each of its own N, H and W), one batch after another.

        Can be asked once. Raises ``ConvscoutError`` with the reason when it cannot be read back or does not answer.
        """
        questions = io.BytesIO()
        np.savez(questions, *batches)
        try:
            said, complaint = self._process.communicate(
                _LENGTH.pack(questions.tell()) + questions.getvalue(), timeout=_PATIENCE_S
            )
        except subprocess.TimeoutExpired:
            raise ConvscoutError(f"it did not answer within {_PATIENCE_S:.0f} s") from None
        if self._process.returncode:
            raise ConvscoutError(f"it cannot be read back: {_reason(self._process.returncode, complaint)}")
        found: Probabilities = np.load(io.BytesIO(said), allow_pickle=False)
        return found


def ask(predictor: Predictor, batches: Sequence[Pixels]) -> Probabilities:
    """What ``predictor`` answers (N, K) to all ``batches``, one after another."""
    return np.concatenate([predictor(batch) for batch in batches])


def _reason(code: int, complaint: bytes) -> str:
    lines = complaint.decode(errors="replace").strip().splitlines()
    if code < 0:
        return f"its runtime was ended by {signal.Signals(-code).name}"
    return lines[-1] if lines else f"its runtime ended with code {code}"


def _main() -> None:
    """The fresh process: read a format back, then answer what is asked."""
    reader, directory = sys.argv[1:]
    module, _, function = reader.partition(":")
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a runtime prints is no answer
        try:
            read = getattr(importlib.import_module(module), function)
            batches = _questions(sys.stdin.buffer)
            found = io.BytesIO()  # numpy would look for its place in a pipe
            np.save(found, ask(read(Path(directory)), batches), allow_pickle=False)
            answers.write(found.getvalue())
        except BrokenPipeError:
            sys.exit(1)  # nobody waits for the answer any more
        except ConvscoutError as error:
            sys.exit(error.message)
        except Exception as error:  # runtimes fail in many ways; whoever asked tells the person
            sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _questions(stream: BinaryIO) -> list[Pixels]:
    length = stream.read(_LENGTH.size)
    content = stream.read(_LENGTH.unpack(length)[0]) if length else b""
    if not content:
        sys.exit(1)  # whoever started this is gone
    with np.load(io.BytesIO(content), allow_pickle=False) as batches:
        return [batches[name] for name in batches.files]


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        _main()
