"""Trees of image files for tests, written with Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from convscout.trials.data.sources import DataRequest, load
from convscout.trials.data.splits import DataSplits

SIDE = 8


def noise(seed: int, *, width: int = SIDE, height: int = SIDE, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def write_class(folder: Path, *, count: int = 10, seed: int = 0, suffix: str = ".png") -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        noise(1000 * seed + index).save(folder / f"{index:03d}{suffix}")


def write_animals(root: Path) -> Path:
    """Two classes of ten images that convscout is to split; returns ``root``."""
    write_class(root / "cat", seed=1)
    write_class(root / "dog", seed=2)
    return root


def loaded(
    root: Path,
    *,
    image_size: int | None = None,
    max_bad_images: float = 0.01,
    seed: int = 0,
    memory: int | None = None,
) -> DataSplits:
    """What ``load`` makes of the tree at ``root``, with a cache beside it; ``memory`` of 0 leaves it in the file."""
    return load(
        DataRequest(
            data=f"folder:{root}",
            image_size=image_size,
            max_bad_images=max_bad_images,
            seed=seed,
            cache=root.parent / "cache",
            memory=memory,
        )
    )


def sizes(splits: DataSplits) -> tuple[int, int, int]:
    return len(splits.train), len(splits.validation), len(splits.open_test())
