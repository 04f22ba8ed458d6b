"""Losses: the published ones, for hard and for soft targets."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot
from torchvision.ops import sigmoid_focal_loss

from convscout.search_space.losses import class_weights, focal_loss

LABELS = torch.tensor([0, 0, 0, 1, 2, 2])
LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
TARGETS = one_hot(LABELS, 4).float()


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_without_focus_it_is_the_cross_entropy(label_smoothing: float, weighted: bool) -> None:
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0]) if weighted else None
    plain = cross_entropy(LOGITS, TARGETS, weight=weights, label_smoothing=label_smoothing)
    for gamma in (0.0, 1e-9):  # by the library, and by the formula
        loss = focal_loss(LOGITS, TARGETS, gamma=gamma, label_smoothing=label_smoothing, weights=weights)
        torch.testing.assert_close(loss, plain)


def test_for_two_classes_it_is_that_of_torchvision() -> None:
    logits, labels = LOGITS[:, 0], (LABELS > 0).float()
    expected = sigmoid_focal_loss(logits, labels, alpha=-1, gamma=2.0, reduction="mean")
    both = torch.stack((torch.zeros_like(logits), logits), dim=1)
    targets = torch.stack((1 - labels, labels), dim=1)
    loss = focal_loss(both, targets, gamma=2.0, label_smoothing=0.0, weights=None)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradients_are_finite_for_certain_answers(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    focal_loss(logits, torch.eye(2), gamma=gamma, label_smoothing=0.0, weights=None).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_balanced_weights_make_classes_count_the_same() -> None:
    weights = class_weights("balanced", LABELS, 4)
    assert weights is not None
    shares = torch.bincount(LABELS, minlength=4) * weights
    torch.testing.assert_close(
        shares, torch.tensor([2.0, 2.0, 2.0, 0.0])
    )  # no weight where there is no image
    assert class_weights("none", LABELS, 4) is None
