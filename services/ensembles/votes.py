"""Votes: what each candidate would add to an ensemble, fast enough to ask of all of them in every round.

An image is answered rightly when the true class leads every other. Leads add up like probabilities do, and with the
classes as the outer axis their minimum is taken over whole rows of images. Shapes: M candidates, N images, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from convscout.services.ensembles.library import Library
from convscout.trials.evaluation.metrics import log_losses


class Votes:
    """The votes of the candidates of ``library``."""

    def __init__(self, library: Library) -> None:
        labels, candidates = library.labels, library.candidates
        images = np.arange(len(labels))
        num_classes = candidates[0].probabilities.shape[1]
        self._likelihoods = np.stack([each.probabilities[images, labels] for each in candidates])  # (M, N)
        leads = np.empty((len(candidates), num_classes, len(labels)), dtype=np.float32)  # (M, K, N)
        for lead, member, likelihood in zip(leads, candidates, self._likelihoods, strict=True):
            np.subtract(likelihood, member.probabilities.T, out=lead)
            lead[labels, images] = np.inf  # the true class does not compete with itself
        # an image that no mixture can change: all are right, or all would rather say the same wrong class
        settled = (leads.min(axis=(0, 1)) > 0) | (leads.max(axis=0) <= 0).any(axis=0)  # (N,)
        self._leads = np.ascontiguousarray(leads[:, :, ~settled])
        self._image_weights = library.image_weights[~settled]
        self._by_likelihood = library.objective in ("nll", "calibration_error")

    def best_addition(self, counts: Counter[int], eligible: Sequence[int]) -> int:
        """The index in ``eligible`` that, drawn once more, makes the best ensemble of ``counts``."""
        present, times = list(counts), np.array(list(counts.values()), dtype=np.float32)
        able = np.array(eligible, dtype=np.intp)
        if not self._by_likelihood:
            leads = np.tensordot(times, self._leads[present], axes=1)  # (K, N)
            rights = np.array([(leads + self._leads[i]).min(axis=0) > 0 for i in able])  # (able, N)
            # BLAS may compute with what is left of infinite leads in its buffers, and warn of it; the result is finite
            with np.errstate(invalid="ignore"):
                right = rights @ self._image_weights
            able = able[right >= right.max() * (1 - 1e-6)]  # sums of weights differ in their last digits
        likelihood = times @ self._likelihoods[present]  # (N,)
        mean = (likelihood + self._likelihoods[able]) / np.float32(counts.total() + 1)  # (able, N)
        return int(able[log_losses(mean).mean(axis=1).argmin()])


def shares(counts: Counter[int]) -> dict[int, float]:
    """Weights by index: how often each was drawn, of all draws."""
    return {index: count / counts.total() for index, count in counts.items()}
