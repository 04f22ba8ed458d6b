"""Every augmentation policy: deterministic, whole, in place in memory; and what each does to pixels."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from convscout.search_space.augmentation import InTurn, augmentation_from_dict, augmentations
from convscout.search_space.image_operations import OPERATIONS

SHIFTING = ("crop", "crop_flip")
MIXING = ("mixup", "cutmix")


def batch(
    num_images: int = 64, channels: int = 3, side: int = 16, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Images whose every pixel says which image, row and column it is from (exact in bfloat16 up to 256)."""
    grid = torch.arange(side * side).view(1, 1, side, side).expand(num_images, channels, -1, -1)
    images = (
        grid.clone() if dtype is torch.bfloat16 else grid + 1000 * torch.arange(num_images).view(-1, 1, 1, 1)
    )
    return images.to(dtype).contiguous(memory_format=torch.channels_last)


def one_hot(num_images: int) -> Tensor:
    return torch.eye(10)[torch.arange(num_images) % 10]


def apply(policy: str, images: Tensor, seed: int = 0, **settings: Any) -> tuple[Tensor, Tensor]:
    config = augmentations.get(policy)(**settings)
    targets = one_hot(len(images))
    changed, mixed = config.apply(images, targets, torch.Generator().manual_seed(seed))
    assert torch.equal(targets, one_hot(len(images)))
    return changed, mixed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", augmentations.names())
def test_shape_type_and_memory_format_stay(policy: str, channels: int, dtype: torch.dtype) -> None:
    images = batch(channels=channels, dtype=dtype)
    before = images.clone()
    changed, targets = apply(policy, images)
    assert (changed.shape, changed.dtype) == (images.shape, dtype)
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert changed.isfinite().all()
    assert torch.equal(images, before)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(images)))
    if policy not in MIXING:
        assert torch.equal(targets, one_hot(len(images)))


@pytest.mark.parametrize("policy", augmentations.names())
def test_the_generator_alone_decides(policy: str) -> None:
    images = batch()
    torch.manual_seed(1)
    first, first_targets = apply(policy, images, seed=5)
    state = torch.get_rng_state()
    second, second_targets = apply(policy, images, seed=5)
    assert torch.equal(first, second)
    assert torch.equal(first_targets, second_targets)
    assert torch.equal(torch.get_rng_state(), state)
    if policy != "none":
        assert not torch.equal(first, apply(policy, images, seed=6)[0])


@pytest.mark.parametrize("policy", SHIFTING)
def test_every_image_keeps_to_its_own_pixels_in_all_channels(policy: str) -> None:
    changed, _ = apply(policy, batch())
    assert torch.equal(changed[:, 0] // 1000, torch.arange(64.0).view(-1, 1, 1).expand(-1, 16, 16))
    assert torch.equal(changed[:, 0], changed[:, 1])


@pytest.mark.parametrize("side", [8, 28, 32])
def test_a_crop_is_a_window_of_the_reflected_image(side: int) -> None:
    images = batch(side=side)
    changed, _ = apply("crop", images)
    most = max(1, round(0.125 * side))
    padded = torch.nn.functional.pad(images, (most,) * 4, mode="reflect")
    offsets = set()
    for before, after in zip(padded, changed, strict=True):
        found = [
            (i, j)
            for i in range(2 * most + 1)
            for j in range(2 * most + 1)
            if torch.equal(before[:, i : i + side, j : j + side], after)
        ]
        assert len(found) == 1
        offsets |= set(found)
    assert len(offsets) > 2 * most  # an offset for each image, over the whole range
    assert {0, 2 * most} <= {i for i, _ in offsets}


def test_half_of_the_images_are_mirrored() -> None:
    images = batch(num_images=400)
    changed, _ = apply("crop_flip", images)
    middle = changed[:, 0, 8, 7:9]
    mirrored = (middle[:, 0] > middle[:, 1]).float().mean().item()
    assert 0.4 < mirrored < 0.6
    plain = apply("crop", images)[0][:, 0, 8, 7:9]
    assert (plain[:, 0] < plain[:, 1]).all()


def test_only_mirroring_needs_a_symmetry() -> None:
    needs = {name: policy.needs for name, policy in augmentations.items()}
    mirroring = {"flip", "crop_flip", "crop_alternating"}
    assert {name for name, need in needs.items() if need} == mirroring
    assert all(needs[name] == ("horizontal_flip",) for name in mirroring)


@pytest.mark.parametrize("policy", augmentations.names())
def test_json_round_trip(policy: str) -> None:
    config = augmentations.get(policy)()
    assert augmentation_from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_flipping_mirrors_and_does_nothing_else() -> None:
    images = batch(num_images=200)
    changed, _ = apply("flip", images)
    mirrored = (changed == images.flip(3)).all(dim=(1, 2, 3))
    assert ((changed == images).all(dim=(1, 2, 3)) ^ mirrored).all()
    assert 0.35 < mirrored.float().mean() < 0.65


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_cutout_hides_a_square_that_may_reach_over_the_edge(share: float) -> None:
    changed, _ = apply("cutout", torch.ones(300, 3, 16, 16), share=share)
    hidden = (changed == 0).all(dim=1)
    assert set(changed.unique().tolist()) == {0.0, 1.0}
    areas = hidden.sum(dim=(1, 2))
    assert areas.max() == (16 * share) ** 2
    assert areas.min() < (16 * share) ** 2
    for image in hidden:
        assert image.sum() == image.any(0).sum() * image.any(1).sum()  # a rectangle


def test_random_erasing_paints_over_some_images_up_to_its_area() -> None:
    images = torch.full((400, 3, 32, 32), 7.0)
    erased = (apply("random_erasing", images, probability=0.5, area=0.3)[0] != 7).all(dim=1)
    assert 0.4 < erased.any(dim=(1, 2)).float().mean() < 0.6
    assert 0.1 < erased.float().mean(dim=(1, 2)).max() < 0.33


def test_mixup_blends_images_and_targets_alike() -> None:
    values = torch.arange(64.0).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    changed, targets = apply("mixup", values, alpha=1.0)
    share = targets[torch.arange(64), (torch.arange(64) - 1) % 10]  # of the image before
    blended = torch.arange(64.0).lerp(torch.arange(-1, 63).remainder(64).float(), share)
    torch.testing.assert_close(changed[1:, 0, 0, 0], blended[1:])
    assert share[1:].std() > 0.1


def test_cutmix_swaps_as_much_of_the_target_as_of_the_image() -> None:
    values = torch.arange(64.0).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    changed, targets = apply("cutmix", values, probability=0.5)
    kept = (changed == values).all(dim=1).float().mean(dim=(1, 2))
    torch.testing.assert_close(targets[torch.arange(64), torch.arange(64) % 10], kept)
    assert 0.3 < (kept == 1).float().mean() < 0.8


def test_an_affine_change_of_nothing_is_none_and_half_a_turn_is_exact() -> None:
    images = torch.randn(8, 3, 12, 12)
    still, _ = apply("affine", images, rotation=0.0, scale=0.0, shear=0.0)
    torch.testing.assert_close(still, images, atol=1e-5, rtol=0)
    turned = OPERATIONS["rotate"](images, torch.full((8,), 180 / 30))
    torch.testing.assert_close(turned, images.flip(2, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"autocontrast", "posterize"}))
def test_operations_do_nothing_at_zero_and_something_at_one(name: str) -> None:
    images = torch.randn(6, 3, 12, 12)
    torch.testing.assert_close(OPERATIONS[name](images, torch.zeros(6)), images, atol=1e-5, rtol=0)
    assert torch.equal(OPERATIONS[name](images, torch.ones(6)), images) is (name == "identity")


def test_posterized_images_have_few_levels_and_autocontrast_reaches_black_and_white() -> None:
    images = torch.rand(4, 1, 32, 32)
    assert len(OPERATIONS["posterize"](images, torch.ones(4)).unique()) <= 16
    assert len(OPERATIONS["posterize"](images, torch.zeros(4)).unique()) > 200
    stretched = OPERATIONS["autocontrast"](torch.arange(1.0, 5).view(-1, 1, 1, 1) * images, torch.zeros(4))
    assert stretched.amax((1, 2, 3)).allclose(4 * images[3].max())


def test_solarizing_inverts_what_is_bright() -> None:
    ramp = torch.linspace(0, 1, 11).view(1, 1, 1, 11)
    half = OPERATIONS["solarize"](ramp, torch.tensor([0.45]))
    torch.testing.assert_close(half, torch.where(ramp > 0.55, 1 - ramp, ramp))


@pytest.mark.parametrize("policy", ["trivial_augment", "rand_augment"])
def test_automatic_policies_draw_an_operation_for_each_image(policy: str) -> None:
    images = torch.randn(1, 3, 16, 16).repeat(200, 1, 1, 1)
    changed, _ = apply(policy, images, strength=0.5)
    kinds = {tuple(image.flatten()[:64].tolist()) for image in changed}
    assert len(kinds) > len(OPERATIONS) - 2
    weaker, _ = apply(policy, images, strength=0.1)
    shifted = [(each - images).abs().mean() for each in (weaker, changed)]
    assert shifted[0] < shifted[1]


def test_policies_work_in_turn() -> None:
    images = batch()
    both = InTurn((augmentations.get("crop")(), augmentations.get("mixup")()))
    changed, targets = both.apply(images, one_hot(64), torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    moved = augmentations.get("crop")().apply(images, one_hot(64), generator)
    expected = augmentations.get("mixup")().apply(*moved, generator)
    assert torch.equal(changed, expected[0])
    assert torch.equal(targets, expected[1])
