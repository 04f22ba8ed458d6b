"""Verifying: repeats the parity check of an export, long after it was written and wherever it was copied to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from convscout.search_space.errors import ConvscoutError, ExportError
from convscout.services.export import checksums
from convscout.services.export.parity import NUM_IMAGES, Parity, questions
from convscout.services.export.reload import Reloaded
from convscout.services.export.writer import CANONICAL, LEFT_OUT, PARITY_FILE, recorded
from convscout.services.plugins import exporters
from convscout.trials.data.mapped_images import Images, Pixels


def verify_export(directory: Path, images: Images | None = None) -> Mapping[str, Parity]:
    """How far each format in ``directory`` is from the bundle, each read in a fresh process by its own runtime.

    Without a bundle, the most exact of them takes its place. ``images`` (N, H, W, C) uint8 are what they are asked
    about, the first 256 of them; without any, noise. Raises ``ExportError`` for a file that is damaged, missing or
    not of an export, and ``ConvscoutError`` when a format cannot be read back or answers differently.
    """
    known = {name: exporters.get(name) for name in _check_entries(directory)}
    for name, exporter in known.items():
        if not exporter.reader:
            raise ExportError(f"{directory / PARITY_FILE} is damaged: {name!r} computes nothing")
    reference = min(known, key=lambda name: (name != CANONICAL, known[name].tolerance))
    batches = questions(noise(directory) if images is None else images)
    with ExitStack() as processes:
        started = {
            name: processes.enter_context(Reloaded(exporter.reader, directory.resolve()))
            for name, exporter in known.items()
        }
        try:
            expected = started.pop(reference).answers(batches)
        except ConvscoutError as error:
            raise ConvscoutError(f"{reference} in {directory} does not answer: {error.message}") from error
        found = {reference: Parity.of(batches, expected, expected)}
        for name, process in started.items():
            try:
                found[name] = Parity.of(batches, process.answers(batches), expected, known[name].tolerance)
                found[name].require()
            except ConvscoutError as error:
                raise ConvscoutError(
                    f"{name} in {directory} does not answer as {reference} does: {error.message}"
                ) from error
    return found


def image_shape(directory: Path) -> tuple[int, int, int]:
    """(H, W, C) of the images that the networks in ``directory`` were trained with.

    Raises ``ExportError`` as ``verify_export`` does.
    """
    first, *_ = _check_entries(directory).values()
    try:
        height, width, channels = map(int, first["shapes"][0])
    except (KeyError, TypeError, ValueError, IndexError):
        raise ExportError(
            f"{directory / PARITY_FILE} does not tell the shape of the images; export it again"
        ) from None
    return height, width, channels


def noise(directory: Path) -> Pixels:
    """Images (N, H, W, C) of differing brightness, of the shape that the export in ``directory`` was trained with."""
    rng = np.random.default_rng(0)
    brightness = rng.uniform(0.2, 1, (NUM_IMAGES, 1, 1, 1))
    return (rng.integers(256, size=(NUM_IMAGES, *image_shape(directory))) * brightness).astype(np.uint8)


def _check_entries(directory: Path) -> dict[str, dict[str, Any]]:
    """What ``parity.json`` says of each format that computes, once every file is as it was written."""
    checksums.verify(directory, required=PARITY_FILE)
    formats = {name: values for name, values in recorded(directory).items() if LEFT_OUT not in values}
    if not formats:
        raise ExportError(f"{directory} holds no format that computes anything; export it again")
    return formats
