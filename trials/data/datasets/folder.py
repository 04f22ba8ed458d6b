"""folder:PATH: a directory of image files whose class is the folder that they lie in.

``trials/data/tree_layout.py`` says how the directory may be laid out, ``trials/data/image_files.py`` how images
are read.

Whether a mirrored image keeps its class is something only the person knows, so a file
``convscout.toml`` in the directory may say it: ``symmetries = ["horizontal_flip"]``, or ``[]`` for none.
Without it, mirroring is taken to be harmless unless the names of the classes speak against it: all
are single characters or numbers (letters, digits, signs), or one has "left" or "right" in it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from convscout.search_space.errors import DataError
from convscout.trials.data.division import Rows, check_labels
from convscout.trials.data.extent import Available
from convscout.trials.data.image_cache import DecodedImages, Part, is_kept, load_decoded
from convscout.trials.data.image_decoding import Decoding
from convscout.trials.data.image_tree import ImageTree, scan
from convscout.trials.data.levels import check_levels
from convscout.trials.data.mapped_images import MappedImages
from convscout.trials.data.sources import DataRequest, Progress, Source, SourceImages, sources
from convscout.trials.data.splits import HORIZONTAL_FLIP, SYMMETRIES, LabelledImages
from convscout.trials.data.survey import survey

DECLARATION = "convscout.toml"
_MOST_BYTES = 4096  # of a declaration; a parser may take minutes for megabytes of brackets
_SIDED = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


@sources.register("folder")
class Folder(Source):
    """A directory of image files, with a folder for each class."""

    location = "PATH"

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        root = Path(request.location).expanduser()
        tree = scan(root)
        symmetries = symmetries_of(
            tree.top, tree.class_names
        )  # first: it is soon wrong, and decoding is long
        check_labels(request.data, tree.labels, tree.class_names)
        levels = check_levels(tree, request.white)
        cache = request.cache / "images"
        decoding = Decoding(
            image_size=request.image_size,
            max_bad=request.max_bad_images,
            progress=progress,
            white=levels.white,
        )
        reading = request.reading(_available(tree, decoding, cache, timed=request.asks))
        numbers = _numbers(tree, request.divide(tree.labels, reading, tree.class_names))
        part = Part(
            tree=tree, chosen=np.sort(np.concatenate([*numbers.values()])), share=reading.extent.share
        )
        found = load_decoded(part, replace(decoding, image_size=reading.extent.image_size), cache)
        return SourceImages(
            **{name: _images(part, found, chosen) for name, chosen in numbers.items()},
            class_names=tree.class_names,
            symmetries=symmetries,
            declared=symmetries != _presume_symmetries(tree.class_names),
            skipped=found.bad,
            white=levels.white,
            notes=(*tree.notes, *levels.notes, *found.headers.describe(found.file.shape[1])),
            reading=reading,
        )


def _available(tree: ImageTree, decoding: Decoding, cache: Path, *, timed: bool) -> Available:
    """What ``tree`` has; how long reading takes is known only if ``timed``."""
    looked = survey(tree, decoding, timed=timed)
    return Available(
        num_train=len(tree.train),
        num_validation=len(tree.validation or ()),
        num_test=len(tree.test or ()),
        num_classes=len(tree.class_names),
        side=looked.side,
        channels=looked.channels,
        read_s=0.0 if is_kept(tree, decoding, cache) else looked.read_s,
        resized_read_s=looked.read_s,
    )


def _numbers(tree: ImageTree, rows: Mapping[str, Rows]) -> dict[str, Rows]:
    """``rows`` of the tree's splits as numbers among all its files; train, of which missing splits are, comes first."""
    firsts = dict(zip(tree.splits, accumulate(map(len, tree.splits.values()), initial=0), strict=False))
    return {name: firsts.get(name, 0) + index for name, index in rows.items()}


def _images(part: Part, found: DecodedImages, numbers: Rows) -> LabelledImages:
    """The files of these ``numbers`` that could be read, still in the file of the decoded images."""
    places = np.searchsorted(part.chosen, numbers)
    places = places[found.readable[places]]
    labels = np.concatenate([*part.files.labels.values()])
    return LabelledImages(images=MappedImages(found.file, found.rows[places]), labels=labels[places])


def symmetries_of(root: Path, class_names: Sequence[str]) -> tuple[str, ...]:
    """What may be done to the images under ``root``, as it declares or its classes suggest. Raises ``DataError``."""
    if (root / DECLARATION).exists():
        return _declared_symmetries(root / DECLARATION)
    return _presume_symmetries(class_names)


def _presume_symmetries(class_names: Sequence[str]) -> tuple[str, ...]:
    signs = all(len(name) == 1 or name.isdecimal() for name in class_names)
    sided = any(_SIDED.search(name) for name in class_names)
    return () if signs or sided else (HORIZONTAL_FLIP,)


def _declared_symmetries(path: Path) -> tuple[str, ...]:
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise DataError(
            f"{path}: must be a file of at most {_MOST_BYTES:,} bytes that says symmetries = [...]"
        )
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: cannot be read as TOML: {error}") from error
    symmetries = settings.get("symmetries", [])
    legal = isinstance(symmetries, list) and all(name in SYMMETRIES for name in symmetries)
    if set(settings) != {"symmetries"} or not legal:
        raise DataError(
            f"{path}: must say symmetries = [...], with none or some of {', '.join(SYMMETRIES)}, "
            f"and nothing else, but says {settings}"
        )
    return tuple(symmetries)
