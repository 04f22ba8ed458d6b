"""The images of the league, in both forms that contestants read: class folders, and one npz of the same pixels."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from convscout.search_space.errors import DataError
from convscout.trials.data.datasets.folder import symmetries_of
from convscout.trials.data.splits import HORIZONTAL_FLIP

SPLITS = ("train", "test")
_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png")


@dataclass(frozen=True, kw_only=True)
class LeagueData:
    """``folders`` has train/CLASS and test/CLASS; ``npz`` has x_train, y_train, x_test, y_test, classes, mirror."""

    folders: Path
    npz: Path


def prepare(data: Path, directory: Path) -> LeagueData:
    """Make the form that is missing from ``data``, a directory or an npz, in ``directory``. Raises ``DataError``."""
    folders = data if data.is_dir() else _unpack(data, directory / "folders")
    names = sorted(path.name for path in (folders / "train").glob("*/"))
    if not names or names != sorted(path.name for path in (folders / "test").glob("*/")):
        raise DataError(f"{data}: must have the same classes as folders in train/ and in test/")
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "classes": np.array(names),
        "mirror": np.array(HORIZONTAL_FLIP in symmetries_of(folders, names)),
    }
    for split in SPLITS:
        files = [
            (path, label)
            for label, name in enumerate(names)
            for path in sorted((folders / split / name).iterdir())
            if path.suffix.lower() in _SUFFIXES
        ]
        arrays[f"x_{split}"] = _pixels([path for path, _ in files])
        arrays[f"y_{split}"] = np.array([label for _, label in files])
    npz = directory / "images.npz"
    np.savez(npz, **arrays)
    return LeagueData(folders=folders, npz=npz)


def _pixels(files: Sequence[Path]) -> npt.NDArray[np.uint8]:
    """(N, H, W, C); one channel where the first image is grey."""
    mode = "RGB"
    arrays: list[npt.NDArray[np.uint8]] = []
    for file in files:
        with Image.open(file) as image:
            if not arrays:
                mode = "L" if image.mode == "L" else "RGB"
            arrays.append(np.asarray(image.convert(mode)))
        if arrays[-1].shape != arrays[0].shape:
            raise DataError(f"{file}: the league needs images that are all of one size; resize them first")
    pixels = np.stack(arrays)
    return pixels if pixels.ndim == 4 else pixels[..., None]


def _unpack(npz: Path, folders: Path) -> Path:
    """Write the images of ``npz`` as PNG, which loses nothing."""
    shutil.rmtree(folders, ignore_errors=True)  # of an earlier league
    with np.load(npz) as arrays:
        splits = {split: (arrays[f"x_{split}"], arrays[f"y_{split}"]) for split in SPLITS}
        labels = np.unique(splits["train"][1])
        names = arrays["classes"].tolist() if "classes" in arrays else labels.tolist()
    for split, (pixels, classes) in splits.items():
        for name in names:
            (folders / split / str(name)).mkdir(parents=True, exist_ok=True)
        for number, (image, label) in enumerate(zip(pixels, classes, strict=True)):
            file = folders / split / str(names[label]) / f"{number:06d}.png"
            Image.fromarray(image.squeeze()).save(file)
    return folders
