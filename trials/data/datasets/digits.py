"""digits: scikit-learn's 1,797 grey 8×8 images of handwritten digits, shipped with the library.

Origin: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998 (its
test part). There is no official split here, so the test split is convscout's own.
"""

from __future__ import annotations

import numpy as np

from convscout.trials.data.sources import DataRequest, Progress, Source, SourceImages, sources
from convscout.trials.data.splits import LabelledImages

_LEVELS = 16  # a pixel counts the set bits of a 4×4 block


@sources.register("digits")
class Digits(Source):
    """1,797 grey 8×8 handwritten digits, shipped with scikit-learn.

    A mirrored digit is no longer that digit, so there are no symmetries.
    """

    def read(self, request: DataRequest, progress: Progress) -> SourceImages:
        from sklearn.datasets import load_digits  # takes a second, also of those who only ask for the name

        found = load_digits()
        images = np.rint(found.images * (255 / _LEVELS)).astype(np.uint8)[..., np.newaxis]  # (N, H, W, 1)
        return SourceImages(
            train=LabelledImages(images=images, labels=found.target.astype(np.int64)),
            class_names=tuple(str(name) for name in found.target_names),
        )
