"""npz files that nobody vouches for: what their arrays are is read from the headers before anything is loaded."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convscout.search_space.errors import DataError
from convscout.services.control.datasets.archives import ArchiveLimits, ArchiveMember, UnpackingBudget
from convscout.services.control.datasets.class_names import check_class_name
from convscout.services.schemas.datasets import DatasetFacts
from convscout.trials.data.array_archive import read_header
from convscout.trials.data.sources import DataRequest, load

_SUFFIX = ".npy"
_MOST_ARRAYS = 16
_KINDS = "uifU"  # whole numbers, floats and text


def is_npz(found: Sequence[ArchiveMember]) -> bool:
    """Whether an archive holds arrays rather than images."""
    return any(len(each.parts) == 1 and each.path.endswith(_SUFFIX) for each in found)


def check_headers(
    archive: zipfile.ZipFile, found: Sequence[ArchiveMember], limits: ArchiveLimits, sent: int
) -> None:
    """Unpack every array of ``archive``, keeping none. Raises ``DataError`` unless each is what its header says."""
    if len(found) > _MOST_ARRAYS:
        raise DataError(f"holds {len(found)} arrays, and no more than {_MOST_ARRAYS} are known")
    budget = UnpackingBudget(limits, sent)
    for member in found:
        if len(member.parts) != 1 or not member.path.endswith(_SUFFIX):
            raise DataError(f"holds {member.path!r} beside its arrays; an npz file holds arrays only")
        blocks = budget.blocks(archive, member.info, limits.total_bytes)
        first = next(blocks, b"")  # far longer than any header may be
        declared = _declared_bytes(member.path, first)
        counted = len(first) + sum(map(len, blocks))
        if counted != declared:
            raise DataError(f"{member.path!r} has {counted} bytes, where its header says {declared}")


def facts_of(path: Path, cache: Path) -> DatasetFacts:
    """What the npz file at ``path`` holds, read as a study reads it. Raises ``DataError``."""
    splits = load(DataRequest(data=f"npz:{path}", seed=0, cache=cache))
    for name in splits.class_names:
        check_class_name(name)
    return DatasetFacts(
        num_images=len(splits.train) + len(splits.validation) + splits.num_test,
        classes=splits.class_names,
        image_size=splits.image.image_size,
        notes=splits.notes,
    )


def _declared_bytes(name: str, first: bytes) -> int:
    """How long the array's file must be, as its header has it. Raises ``DataError`` for a type that is not known."""
    head = io.BytesIO(first)
    try:
        shape, dtype = read_header(head)
    except ValueError as error:
        raise DataError(f"{name!r} cannot be read ({error})") from None
    _check_type(name, shape, dtype)
    return head.tell() + math.prod(shape) * dtype.itemsize


def _check_type(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise DataError(
            f"{name!r} holds Python objects (a pickle), which can run code and are never read; "
            "save one array of numbers: numpy.stack(images)"
        )
    if dtype.kind not in _KINDS or any(length < 0 for length in shape):
        raise DataError(f"{name!r} has type {dtype} and shape {shape}; it must hold numbers or text")
