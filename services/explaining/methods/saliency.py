"""Saliency: how fast the answer changes with each pixel.

Simonyan, Vedaldi & Zisserman (2014), "Deep Inside Convolutional Networks", section 3: the gradient, of which each
pixel shows the channel of the largest magnitude.
"""

from __future__ import annotations

from captum.attr import Saliency
from torch import Tensor

from convscout.services.explaining.method import Heat, Method
from convscout.services.explaining.networks import ExplainedNetwork
from convscout.services.plugins import methods


@methods.register("saliency")
class SaliencyMethod(Method):
    """Magnitudes of the gradient of the log-odds."""

    signed = False
    coarse = False

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        gradient: Tensor = Saliency(network).attribute(
            image.clone().requires_grad_(), target=target, abs=True
        )
        heat: Heat = gradient[0].amax(dim=0).detach().numpy()  # (C, H, W) → (H, W)
        return heat
