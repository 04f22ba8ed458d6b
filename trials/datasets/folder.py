"""folder:PATH: a directory of image files whose class is the folder that they lie in.

``trials/image_tree.py`` says how the directory may be laid out, ``trials/image_files.py`` how images
are read.

Whether a mirrored image keeps its class is something only the person knows, so a file
``convscout.toml`` in the directory may say it: ``symmetries = ["horizontal_flip"]``, or ``[]`` for none.
Without it, mirroring is taken to be harmless unless the names of the classes speak against it: all
are single characters or numbers (letters, digits, signs), or one has "left" or "right" in it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from search_space.errors import DataError
from trials.image_cache import DecodedImages, decoded
from trials.image_decoding import Decoding
from trials.image_tree import ImageFile, ImageTree, scan
from trials.mapped_images import MappedImages
from trials.sources import DataRequest, Progress, Source, SourceImages, sources
from trials.splits import HORIZONTAL_FLIP, SYMMETRIES, LabelledImages, Labels

DECLARATION = "convscout.toml"
_SIDED = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


@sources.register("folder")
class Folder(Source):
    """A directory of image files, with a folder for each class."""

    location = "PATH"

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        root = Path(request.location).expanduser()
        tree = scan(root)
        symmetries = symmetries_of(root, tree.class_names)  # first: it is soon wrong, and decoding is long
        decoding = Decoding(image_size=request.image_size, max_bad=request.max_bad_images, progress=progress)
        found = decoded(tree, decoding, request.cache / "images")
        return SourceImages(
            **_parts(tree, found),
            class_names=tree.class_names,
            symmetries=symmetries,
            skipped=found.bad,
        )


def _parts(tree: ImageTree, found: DecodedImages) -> dict[str, LabelledImages]:
    """The splits that ``tree`` has, by name, still in the file of the decoded images."""
    parts, first = {}, 0
    for name, files in (("train", tree.train), ("validation", tree.validation), ("test", tree.test)):
        if files is not None:
            readable = np.flatnonzero(found.readable[first : first + len(files)])
            images = MappedImages(found.file, first + readable)
            parts[name] = LabelledImages(images=images, labels=_labels(files)[readable])
            first += len(files)
    return parts


def _labels(files: Sequence[ImageFile]) -> Labels:
    return np.array([file.label for file in files], dtype=np.int64)


def symmetries_of(root: Path, class_names: Sequence[str]) -> tuple[str, ...]:
    """What may be done to the images under ``root``, as it declares or its classes suggest. Raises ``DataError``."""
    if (root / DECLARATION).exists():
        return _declared(root / DECLARATION)
    signs = all(len(name) == 1 or name.isdecimal() for name in class_names)
    sided = any(_SIDED.search(name) for name in class_names)
    return () if signs or sided else (HORIZONTAL_FLIP,)


def _declared(path: Path) -> tuple[str, ...]:
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
