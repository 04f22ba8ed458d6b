"""Losses: what training makes small. Shapes: N images, K classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax


def focal_loss(
    logits: Tensor, targets: Tensor, *, gamma: float, label_smoothing: float, weights: Tensor | None
) -> Tensor:
    """Mean cross entropy in which a class of probability p counts ``(1 - p) ** gamma``; gamma 0 is the plain one.

    ``logits`` (N, K), ``targets`` (N, K) class probabilities, ``weights`` (K,) of the classes → ().
    Lin et al. (2017), "Focal Loss for Dense Object Detection", section 3.2, for soft targets: every
    class's share of the target is focused by itself.
    """
    if gamma == 0:
        return cross_entropy(logits, targets, weight=weights, label_smoothing=label_smoothing)
    smooth = (1 - label_smoothing) * targets + label_smoothing / targets.shape[1]
    logs = log_softmax(logits, dim=1)
    terms = smooth * (1 - logs.exp()).clamp(min=1e-6) ** gamma * logs  # (N, K)
    return -(terms if weights is None else terms * weights).sum(dim=1).mean()


def class_weights(kind: str, labels: Tensor, num_classes: int) -> Tensor | None:
    """The weight of each class in the loss, (K,), or None where all are equal.

    "balanced" makes each class that occurs in ``labels`` (N,) count the same in all, and leaves the
    mean weight of an image at 1 (King & Zeng, 2001, "Logistic Regression in Rare Events Data").
    """
    if kind == "none":
        return None
    counts = torch.bincount(labels, minlength=num_classes)
    present = counts.count_nonzero()
    return torch.where(counts > 0, len(labels) / (present * counts.clamp(min=1)), 0.0)
