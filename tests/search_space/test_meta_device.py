"""Networks without numbers: the shapes are torch's own, and nothing is drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.meta_device import MetaAutocast, MetaDevice, MetaRun
from tests.support.variants import variant_of

SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)


def shapes(out: Any) -> list[tuple[torch.Size, torch.dtype]]:
    """Of all tensors in what an operation returns, with at least one number."""
    results = out if isinstance(out, tuple | list) else (out,)
    return [(each.shape, each.dtype) for each in results if isinstance(each, Tensor) and each.numel()]


class Compared(MetaRun):
    """Compares what comes of every operation with what torch says does."""

    operations = 0

    def appraise(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        assert shapes(out) == shapes(func(*args, **kwargs)), func
        self.operations += 1


@pytest.mark.parametrize(
    "config",
    [*(family() for _, family in families.items()), variant_of("googlenet", "googlenet")],
    ids=lambda config: config.name,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_shapes_are_those_that_torch_finds(config: Any, dtype: torch.dtype) -> None:
    with MetaDevice():
        model, images = config.build(SMALL), torch.empty(4, 3, 32, 32)
    run = Compared()
    with run, MetaAutocast(dtype):
        logits = model.forward_training(images)
    learned = [each for each in model.parameters() if each.requires_grad]
    with run:
        gradients = torch.autograd.grad(logits, learned, list(map(torch.empty_like, logits)))
    assert all(answer.shape == (4, 10) and answer.dtype is dtype for answer in logits)
    assert [each.shape for each in gradients] == [each.shape for each in learned]
    assert {each.dtype for each in gradients} == {torch.float32}
    assert run.operations > 10


def test_initialising_draws_nothing() -> None:
    before = torch.get_rng_state()
    with MetaDevice():
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
        for parameter in model.parameters():
            assert nn.init.normal_(parameter) is parameter
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    assert torch.equal(torch.get_rng_state(), before)


def test_autocast_lowers_matrices_and_keeps_norms_of_images_wide() -> None:
    with MetaDevice():
        conv, norm, images = nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), torch.empty(2, 3, 8, 8)
    with MetaAutocast(torch.bfloat16):
        maps = conv(images)
        assert maps.dtype is torch.bfloat16
        assert norm(maps).dtype is torch.float32
