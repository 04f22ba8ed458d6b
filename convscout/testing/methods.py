"""Kit for methods of explaining: the heat that they find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.services.explaining.method import Heat, Method
from convscout.services.explaining.networks import CalibratedNetwork, ExplainedNetwork

_IMAGES = (
    ImageSpec(in_channels=3, image_size=16, num_classes=4),
    ImageSpec(in_channels=1, image_size=21, num_classes=2),
)
_SAME = 1e-5  # of the largest number: sums may come out in another order


def check_method(method: type[Method]) -> None:
    """``method`` finds heat for every class, the same each time, and leaves the network and the image as they are.

    It is asked about networks that have feature maps, one and several together, and about one that has none. It may
    refuse in words to explain some of them, but not all.
    """
    for flag in ("signed", "coarse"):
        assert isinstance(getattr(method, flag, None), bool), f"it does not say whether it is {flag}"
    heats = [
        heat for image in _IMAGES for network in _networks(image) for heat in _heats(method, network, image)
    ]
    assert heats, "it explains no network"
    lowest = min(float(heat.min()) for heat in heats)
    if method.signed:
        assert lowest < 0, "it is signed, but no pixel ever speaks against a class"
    else:
        assert lowest >= 0, f"it is not signed, but a pixel has {lowest:.3g}"


def _heats(method: type[Method], network: ExplainedNetwork, image: ImageSpec) -> list[Heat]:
    """A heat for each class; none if the network cannot be explained."""
    pixels = torch.randn(
        (1, image.in_channels, image.image_size, image.image_size), generator=torch.Generator().manual_seed(1)
    )
    found = []
    for target in range(image.num_classes):
        with _leave_alone(network, pixels):
            first, again = (method().heat(network, pixels, target) for _ in range(2))
        if isinstance(first, str):
            assert first.strip(), "it refuses to explain a network without a reason"
            assert first == again, "it refuses with another reason the second time"
            continue
        _check_heat(first, image)
        assert not isinstance(again, str) and np.allclose(
            first, again, rtol=0, atol=_SAME * np.abs(first).max()
        ), "it finds something else the second time"
        found.append(first)
    assert len(found) in (0, image.num_classes), "it explains some classes of a network and refuses others"
    assert len(found) < 3 or any(not np.array_equal(found[0], heat) for heat in found[1:]), (
        "it finds the same for every class"  # of two, one may be as the other without its sign
    )
    return found


def _check_heat(heat: Heat, image: ImageSpec) -> None:
    expected = (image.image_size, image.image_size)
    assert isinstance(heat, np.ndarray), f"heat is no array of NumPy, but {type(heat).__name__}"
    assert heat.shape == expected, f"heat has shape {heat.shape}, not {expected}"
    assert heat.dtype == np.float32, f"heat is {heat.dtype}, not float32"
    assert np.isfinite(heat).all(), "some heat is not finite"


@contextmanager
def _leave_alone(network: ExplainedNetwork, pixels: Tensor) -> Iterator[None]:
    """Within, nothing may change ``network``, ``pixels`` or the settings of torch."""
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    image, modes, flags, hooks = pixels.clone(), _modes(network), _flags(network), _hooks(network)
    drawn, recording = torch.get_rng_state(), torch.is_grad_enabled()
    yield
    assert _modes(network) == modes, "it leaves the network in another mode, for training or evaluation"
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name]), f"it changes {name} of the network"
    assert _flags(network) == flags, (
        "it leaves other parameters of the network with a gradient to be computed"
    )
    assert all(each.grad is None for each in network.parameters()), "it leaves gradients in the network"
    assert _hooks(network) == hooks, "it leaves hooks in the network"
    assert torch.equal(pixels, image), "it writes to the image"
    assert not pixels.requires_grad and pixels.grad is None, "it leaves a gradient in the image"
    assert torch.is_grad_enabled() == recording, "it switches gradients on or off for whatever comes after it"
    assert torch.equal(torch.get_rng_state(), drawn), "it draws from torch's global generator"


def _modes(network: ExplainedNetwork) -> list[bool]:
    return [module.training for module in network.modules()]


def _flags(network: ExplainedNetwork) -> list[bool]:
    return [each.requires_grad for each in network.parameters()]


def _hooks(network: ExplainedNetwork) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in kinds)


def _networks(image: ImageSpec) -> list[ExplainedNetwork]:
    """An ensemble of convolutional networks, one of them, and a network that is fully connected."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        wide, narrow, flat = (
            _part(families.get(name)(**settings), image)
            for name, settings in (
                ("lenet", dict(width=8, depth=2)),
                ("lenet", dict(width=4, depth=2)),
                ("mlp", dict(width=64)),
            )
        )
    return [
        ExplainedNetwork("ensemble", "ensemble", [wide, narrow], [0.75, 0.25], temperature=1.25),
        ExplainedNetwork("one", "one member", [wide], [1.0]),
        ExplainedNetwork("flat", "one without feature maps", [flat], [1.0]),
    ]


def _part(architecture: ArchitectureConfig, image: ImageSpec) -> CalibratedNetwork:
    return CalibratedNetwork(architecture.build(image), temperature=0.8)
