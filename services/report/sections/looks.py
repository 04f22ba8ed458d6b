"""What the ensemble looks at in a few validation images."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from convscout.search_space.errors import ConvscoutError
from convscout.services.events.events import Notice
from convscout.services.explaining.explain import ExplainConfig, explain
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.report.document import Block, Picture, Section, Text
from convscout.services.report.facts import StudyFacts
from convscout.trials.data.splits import DataSplits

METHODS = ("saliency", "grad-cam")
_IMAGES = 4


def looks(known: StudyFacts) -> Section | None:
    """Saliency of the exported ensemble; None where it or the images are gone."""
    if known.outcome is None or known.splits is None or not known.outcome.export.is_dir():
        return None
    try:
        bundle = load_bundle(known.outcome.export)
        with TemporaryDirectory() as scratch:
            files = _validation_images(known.splits, Path(scratch))
            target = Path(scratch) / "drawn"
            wanted = ExplainConfig(methods=METHODS, members=0)
            written = explain(bundle, files, wanted, target, known.listener)
            pictures = [
                Picture(
                    name=f"looks-{Path(each.path).stem}.png",
                    png=(target / file).read_bytes(),
                    says=f"What speaks for {each.class_name} in one image, by {' and '.join(METHODS)}",
                )
                for each in written.explanations
                for file in each.files.values()
            ]
    except ConvscoutError as error:
        known.listener(Notice(text=f"without what the ensemble looks at: {error.message}"))
        return None
    text = (
        "Bright pixels count for the answer; of red regions it gains, of blue ones it loses. Validation images, one of "
        "each class:"
    )
    blocks: list[Block] = [Text(text), *pictures]
    return Section("What it looks at", blocks)


def _validation_images(splits: DataSplits, directory: Path) -> list[Path]:
    """The first image of each of a few classes, as files."""
    paths = []
    for label in range(min(_IMAGES, len(splits.class_names))):
        places = np.flatnonzero(splits.validation.labels == label)
        if len(places):
            path = directory / f"{label:02d}.png"
            pixels = np.asarray(splits.validation.images[places[0]])
            Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(path)
            paths.append(path)
    return paths
