"""The images that a study learnt from."""

from __future__ import annotations

import numpy as np

from convscout.services.report.document import Section, Table, Text
from convscout.services.report.facts import StudyFacts


def data(known: StudyFacts) -> Section | None:
    """How many there are of what, and how they were split."""
    splits = known.splits
    if splits is None:
        fingerprint = known.ledger.fingerprint[:12]
        said = f"They were {known.config.data} (fingerprint {fingerprint}), which cannot be read any more."
        return Section("The images", [Text(said)])
    image = splits.image
    colours = "grey" if image.in_channels == 1 else "colour"
    total = len(splits.train) + len(splits.validation) + splits.num_test
    blocks = [
        Text(
            f"{splits.name}: {total:,} {colours} images of {image.image_size} × {image.image_size} pixels in "
            f"{image.num_classes} classes; fingerprint {splits.fingerprint[:12]}. Networks learn from the training "
            f"images; the validation images choose among epochs, networks and ensembles; the {splits.num_test:,} test "
            f"images were looked at only when all was chosen."
        )
    ]
    if splits.share < 1:
        blocks.append(Text(f"They are a share of {splits.share:g} of all there are, class by class."))
    if splits.skipped:
        blocks.append(Text(f"{len(splits.skipped):,} files could not be read and were left out."))
    blocks += [Text(f"Of the images: {note}.") for note in splits.notes]
    counts = {
        part: np.bincount(images.labels, minlength=image.num_classes)
        for part, images in (("training", splits.train), ("validation", splits.validation))
    }
    rows = [
        [name, *(f"{count[index]:,}" for count in counts.values())]
        for index, name in enumerate(splits.class_names)
    ]
    table = Table(columns=["class", *counts], rows=rows, right=list(counts))
    return Section("The images", [*blocks, table])
