"""Division: which images of a source belong to which split, and which of them are read, by their labels alone.

So it is known before an image is decoded, and an unreadable file changes nothing for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from convscout.search_space.errors import DataError, IndivisibleError, list_names
from convscout.trials.data.splits import Labels, stratified_split

TEST_SHARE = 0.2
TEST_SEED = 1797  # a constant, so that every study of the same images is judged on the same test split
# Likewise, so that studies of one share read the same files and are judged on the same images.
_PART_SEED = 6174

Rows: TypeAlias = npt.NDArray[np.intp]


def divide(
    labels: Mapping[str, Labels],
    *,
    share: float = 1.0,
    validation_share: float,
    seed: int,
    class_names: Sequence[str] = (),
) -> dict[str, Rows]:
    """Rows of train, validation and test, ``share`` of each; a split that is not in ``labels`` is taken out of train.

    Test images are taken out before the part is, so that none is trained on at another share; validation
    images after it, so that which images are read does not depend on ``seed``.
    """
    train = labels["train"]
    rows = {name: np.arange(len(each)) for name, each in labels.items()}
    if "test" not in rows:
        rows["train"], rows["test"] = stratified_split(train, TEST_SHARE, TEST_SEED, class_names)
    least = {"train": 1 if "validation" in rows else 2}
    for name, index in rows.items():
        rows[name] = index[_part(labels.get(name, train)[index], share, least.get(name, 1))]
    if "validation" not in rows:
        kept, held = stratified_split(train[rows["train"]], validation_share, seed, class_names)
        rows["train"], rows["validation"] = rows["train"][kept], rows["train"][held]
    return rows


def _part(labels: Labels, share: float, least: int) -> Rows:
    """Rows of ``share`` of every class, in order, of each at least ``least``; a larger share has them too."""
    rng = np.random.default_rng(_PART_SEED)
    by_class = np.argsort(labels, kind="stable")
    starts = np.unique(labels[by_class], return_index=True)[1]
    classes = [rng.permutation(rows) for rows in np.split(by_class, starts[1:])]
    return np.sort(np.concatenate([rows[: max(least, round(share * len(rows)))] for rows in classes]))


def check_labels(data: str, labels: Mapping[str, Labels], class_names: Sequence[str]) -> None:
    """Raise ``DataError`` unless all splits have images and legal labels, and classes enough of them to be split.

    Where only the last is not so, the error is an ``IndivisibleError``.
    """
    num_classes = len(class_names)
    if num_classes < 2:
        only = f": {class_names[0]}" if class_names else ""
        raise IndivisibleError(f"{data}: needs at least two classes, but has {num_classes}{only}")
    for name, each in labels.items():
        if not len(each):
            raise DataError(f"{data}: the {name} split has no images")
        low, high = each.min(), each.max()
        if low < 0 or high >= num_classes:
            wrong = low if low < 0 else high
            raise DataError(
                f"{data}: labels must lie in [0, {num_classes - 1}], as there are {num_classes} classes, "
                f"but the {name} split has label {wrong}"
            )
    needed = 1 + ("validation" not in labels) + ("test" not in labels)  # one for each split taken out of it
    _check_counts(data, labels["train"], class_names, needed)


def _check_counts(data: str, train: Labels, class_names: Sequence[str], needed: int) -> None:
    num_images, num_classes = len(train), len(class_names)
    if num_images < num_classes:
        raise IndivisibleError(
            f"{data}: has fewer training images ({num_images}) than classes ({num_classes}); "
            "add images, or check that the labels are classes and not, say, numbers of the images"
        )
    counts = np.bincount(train, minlength=num_classes)
    short = [f"{name} ({n})" for name, n in zip(class_names, counts, strict=True) if n < needed]
    if short:
        raise IndivisibleError(
            f"{data}: each class needs at least {needed} readable training image(s), so that each split gets "
            f"one, but these have fewer: {list_names(short)}; add images or remove the class"
        )
