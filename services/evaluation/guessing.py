"""Guessing: whether answers tell more than the class that is the most frequent one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import wilson_interval


def no_better_than_guessing(accuracy: float, labels: Labels, class_names: Sequence[str]) -> str:
    """What a person must know of an ``accuracy`` on images with ``labels`` (N,); empty where it beats a guess.

    It does where its 95 % interval lies above the share of the most frequent class.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    most = int(counts.argmax())
    share, (low, _) = counts[most] / len(labels), wilson_interval(round(accuracy * len(labels)), len(labels))
    if low > share:
        return ""
    return (
        f"the ensemble answers {accuracy:.2%} of {len(labels):,} validation images rightly, which may be no better "
        f"than always to answer {class_names[most]!r} ({share:.2%}): give the search more time, or look at the images "
        "with `convscout datasets check`"
    )
