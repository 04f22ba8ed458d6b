"""Our methods of explaining pass their kit, and it names what is wrong with others."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from convscout.services.explaining.method import Heat, Method
from convscout.services.explaining.methods.saliency import SaliencyMethod
from convscout.services.explaining.networks import ExplainedNetwork
from convscout.services.plugins import methods
from convscout.testing import check_method


@pytest.mark.parametrize("name", methods.names())
def test_methods_conform(name: str) -> None:
    check_method(methods.get(name))


class Faultless(Method):
    """The gradient, summed over the channels."""

    signed = True
    coarse = False

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        pixels = image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(pixels)[0, target], pixels)
        heat: Heat = gradient[0].sum(dim=0).numpy()  # (C, H, W) → (H, W)
        return heat


class Silent(Faultless):
    """Does not say what its numbers are."""

    signed: ClassVar[bool] = None


class Negative(Faultless):
    """Says that nothing speaks against a class, and has negative numbers."""

    signed = False


class Positive(SaliencyMethod):
    """Says that something speaks against a class, and has no negative number."""

    signed = True


class Channels(Faultless):
    """A number for each channel of a pixel."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        return np.zeros(tuple(image.shape[1:]), dtype=np.float32)


class Doubled(Faultless):
    """Numbers of another precision."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        return np.asarray(super().heat(network, image, target), dtype=np.float64)


class Infinite(Faultless):
    """Divides by nothing."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        return np.full(tuple(image.shape[2:]), np.inf, dtype=np.float32)


class Noisy(Faultless):
    """Smooths over noise that nobody has seeded."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        return super().heat(network, image + 0.1 * torch.randn(image.shape), target)


class Unseeded(Faultless):
    """The same with a generator of its own."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        noise = np.random.default_rng().normal(size=tuple(image.shape)).astype(np.float32)
        return super().heat(network, image + torch.from_numpy(noise), target)


class Indifferent(Faultless):
    """Explains the first class, whichever was asked for."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        return super().heat(network, image, 0)


class Training(Faultless):
    """Leaves the network in the mode for training."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        heat = super().heat(network, image, target)
        network.train()
        return heat


class Accumulating(Faultless):
    """Lets gradients add up in the weights."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        weight = next(network.parameters())
        weight.requires_grad_(True)
        network(image)[0, target].backward()
        weight.requires_grad_(False)
        return super().heat(network, image, target)


class Hooked(Faultless):
    """Watches a layer for ever."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        network.register_forward_hook(lambda module, inputs, output: None)
        return super().heat(network, image, target)


class Pruning(Faultless):
    """Switches off a filter and does not put it back."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        next(network.parameters())[0] = 0
        return super().heat(network, image, target)


class Covering(Faultless):
    """Covers a pixel of the image that it is given."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        image[..., 0, 0] = 0
        return super().heat(network, image, target)


class Refusing(Faultless):
    """Explains no network."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        return "it is too deep"


class Wordless(Faultless):
    """Explains no network and does not say why."""

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        return ""


def test_a_faultless_method_conforms() -> None:
    check_method(Faultless)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Silent, "does not say whether it is signed"),
        (Negative, "not signed, but a pixel has -"),
        (Positive, "signed, but no pixel ever speaks against a class"),
        (Channels, r"heat has shape \(3, 16, 16\), not \(16, 16\)"),
        (Doubled, "heat is float64, not float32"),
        (Infinite, "some heat is not finite"),
        (Noisy, "draws from torch's global generator"),
        (Unseeded, "finds something else the second time"),
        (Indifferent, "the same for every class"),
        (Training, "another mode"),
        (Accumulating, "leaves gradients in the network"),
        (Hooked, "leaves hooks in the network"),
        (Pruning, r"changes parts\.0\..* of the network"),
        (Covering, "writes to the image"),
        (Refusing, "explains no network"),
        (Wordless, "without a reason"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_fault_of_a_method_is_named(method: type[Method], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_method(method)
