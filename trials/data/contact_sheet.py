"""Contact sheet: a picture of a few training images of every class, to see whether labels fit."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from convscout.trials.checkpoints.durable_files import put_file
from convscout.trials.data.splits import DataSplits, Pixels

_TILE = 56  # smallest side of an image on the sheet, pixels
_GAP = 4
_FONT_SIZE = 16
_LONGEST_NAME = 24  # characters


def contact_sheet(
    splits: DataSplits, path: Path, *, per_class: int = 10, max_classes: int = 100, seed: int = 0
) -> None:
    """Write a PNG to ``path`` with a row for each of the first ``max_classes`` classes.

    A row is the name of the class, its number of training images and ``per_class`` of them, drawn by
    ``seed``. Small images are enlarged by a whole factor and without smoothing, so that every pixel is
    seen as it is. No validation or test image is shown.
    """
    names = [_row_title(splits, label) for label in range(min(max_classes, len(splits.class_names)))]
    font = ImageFont.load_default(_FONT_SIZE)
    left = _GAP + int(max(font.getlength(name) for name in names)) + 2 * _GAP
    factor = max(1, -(-_TILE // splits.image.image_size))
    tile = factor * splits.image.image_size
    size = (left + per_class * (tile + _GAP), _GAP + len(names) * (tile + _GAP))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    rng = np.random.default_rng(seed)
    for row, name in enumerate(names):
        top = _GAP + row * (tile + _GAP)
        draw.text((_GAP, top + tile / 2), name, fill="black", font=font, anchor="lm")
        for column, index in enumerate(_draw_sample(splits, row, per_class, rng)):
            image = _enlarge(splits.train.images[index], factor)
            sheet.paste(image, (left + column * (tile + _GAP), top))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    put_file(path, buffer.getvalue())


def _row_title(splits: DataSplits, label: int) -> str:
    name = splits.class_names[label]
    short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return f"{short} ({np.count_nonzero(splits.train.labels == label)})"


def _draw_sample(
    splits: DataSplits, label: int, count: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    members = np.flatnonzero(splits.train.labels == label)
    return rng.permutation(members)[:count]


def _enlarge(pixels: Pixels, factor: int) -> Image.Image:
    """(H, W, C) pixels as a picture ``factor`` times as large."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
