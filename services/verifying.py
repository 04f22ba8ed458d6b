"""Verifying: repeats the parity check of an export, long after it was written and wherever it was copied to."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from search_space.errors import ConvscoutError, ExportError
from services import checksums
from services.exporting import PARITY_FILE, exporters
from services.parity import NUM_IMAGES, Parity, in_batches
from services.predict import load_model
from trials.metrics import Probabilities
from trials.splits import Pixels


def verify_export(directory: Path, images: Pixels | None = None) -> Mapping[str, Parity]:
    """How far each format in ``directory`` is from the first of them, each read in a fresh process by its own runtime.

    ``images`` (N, H, W, C) uint8 are what they are asked about, the first 256 of them; without any, noise. Raises
    ``ExportError`` for a file that is damaged, missing or not of an export, and ``ConvscoutError`` when a format
    answers differently.
    """
    checksums.verify(directory, required=PARITY_FILE)
    formats = list(json.loads((directory / PARITY_FILE).read_text(encoding="utf-8")))
    if not formats:
        raise ExportError(f"{directory} holds no format that computes anything; export it again")
    asked = noise(directory) if images is None else images[:NUM_IMAGES]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh, max_tasks_per_child=1) as processes:
        answers = processes.map(partial(_answers, directory=directory, images=asked), formats)
        said = dict(zip(formats, answers, strict=True))
    expected = said[formats[0]]
    found = {name: Parity.of(answers, expected) for name, answers in said.items()}
    for name, parity in found.items():
        if not parity.passed:
            raise ConvscoutError(
                f"{name} in {directory} does not answer as {formats[0]} does: probabilities differ by up to "
                f"{parity.max_difference:.2g}, {parity.num_changed} of {parity.num_images} answers are others"
            )
    return found


def noise(directory: Path) -> Pixels:
    """Images (N, H, W, C) of differing brightness, of the shape that the export in ``directory`` wants."""
    model = load_model(directory)
    rng = np.random.default_rng(0)
    shape = (NUM_IMAGES, model.image_size, model.image_size, model.in_channels)
    brightness = rng.uniform(0.2, 1, (NUM_IMAGES, 1, 1, 1))
    return (rng.integers(256, size=shape) * brightness).astype(np.uint8)


def _answers(name: str, directory: Path, images: Pixels) -> Probabilities:
    predictor = exporters.get(name)().predictor(directory)
    assert predictor is not None, "parity.json names only formats that compute"
    return in_batches(predictor, images)
