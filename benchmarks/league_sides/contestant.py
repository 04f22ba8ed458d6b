"""What a contestant of the league is given, and how it answers.

It runs in the contestant's own environment, so it imports nothing but NumPy and psutil.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import psutil

Pixels: TypeAlias = npt.NDArray[np.uint8]  # (N, H, W, C), C is 1 or 3
Labels: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Images:
    """Both splits. ``mirror`` says whether a mirrored image is still one of its class."""

    x_train: Pixels
    y_train: Labels
    x_test: Pixels
    y_test: Labels
    num_classes: int
    mirror: bool

    def divide(self, share: float, seed: int) -> tuple[Labels, Labels]:
        """Indices of training images at random: all but a ``share`` to train on, and that share to validate on."""
        order = np.random.default_rng(seed).permutation(len(self.x_train))
        held_out = max(1, round(share * len(order)))
        return order[held_out:], order[:held_out]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is equal for all contestants. ``time_s`` counts from the start of the process to its end."""

    npz: Path
    folders: Path | None
    scratch: Path
    time_s: float
    seed: int
    cores: int

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self.time_s - (time.time() - psutil.Process().create_time())

    @property
    def tree(self) -> Path:
        """The class folders."""
        if self.folders is None:
            raise SystemExit("it reads class folders: give --folders DIR")
        return self.folders.absolute()

    def images(self) -> Images:
        """Both splits, from the npz."""
        with np.load(self.npz) as arrays:
            return Images(
                x_train=_with_channels(arrays["x_train"]),
                y_train=arrays["y_train"].astype(np.int64),
                x_test=_with_channels(arrays["x_test"]),
                y_test=arrays["y_test"].astype(np.int64),
                num_classes=int(arrays["y_train"].max()) + 1,
                mirror=bool(arrays["mirror"]) if "mirror" in arrays else True,
            )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Accuracy on the test images, which were looked at once, and how the contestant was set up."""

    test_accuracy: float
    setup: str


def compete(contest: Callable[[Task], Answer], *packages: str) -> None:
    """Do what the command line asks; ``packages`` are those whose versions matter."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--npz", type=Path, required=True, help="x_train, y_train, x_test, y_test")
    parser.add_argument("--folders", type=Path, help="the same images: train/CLASS and test/CLASS")
    parser.add_argument("--time", type=float, default=60.0, help="seconds (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=len(psutil.Process().cpu_affinity()))
    parser.add_argument("--result", type=Path, help="a file for the answer, beside its being printed")
    asked = parser.parse_args()
    with TemporaryDirectory() as scratch:
        task = Task(
            npz=asked.npz,
            folders=asked.folders,
            scratch=Path(scratch),
            time_s=asked.time,
            seed=asked.seed,
            cores=asked.cores,
        )
        answer = contest(task)
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    record = {"test_accuracy": answer.test_accuracy, "setup": answer.setup, "versions": versions}
    if asked.result:
        asked.result.write_text(json.dumps(record))
    print(json.dumps(record), flush=True)


def _with_channels(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 4 else pixels[..., None]
