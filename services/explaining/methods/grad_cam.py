"""Grad-CAM: which places of the last feature map speak for the class.

Selvaraju et al. (2017), "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", section 3:
channels of the map, weighted by their mean gradient, of which what is positive is kept. Of an ensemble it is the mean
of its members' by their weights, each scaled to a largest value of 1 before, as maps of different networks have no
common unit.
"""

from __future__ import annotations

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn import functional as F

from convscout.services.explaining.layers import last_map
from convscout.services.explaining.method import Heat, Method
from convscout.services.explaining.networks import CalibratedNetwork, ExplainedNetwork, log_odds
from convscout.services.plugins import methods


@methods.register("grad-cam")
class GradCamMethod(Method):
    """The weighted sum of the last feature map's channels, brought to the size of the picture."""

    signed = False
    coarse = True

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        total, found = torch.zeros(image.shape[2:]), False
        for part, weight in zip(network.parts, network.weights, strict=True):
            assert isinstance(part, CalibratedNetwork)
            if layer := last_map(part.network, image):
                total += weight * _scale(_cam(part, layer, image, target))
                found = True
        if not found:
            return "it has no feature map of more than one pixel"
        heat: Heat = total.numpy()
        return heat


def _cam(part: CalibratedNetwork, layer: nn.Module, image: Tensor, target: int) -> Tensor:
    """(H, W), at the size of ``image``."""

    def score(images: Tensor) -> Tensor:
        return log_odds(part(images))

    cam = LayerGradCam(score, layer).attribute(
        image.clone().requires_grad_(), target=target, relu_attributions=True
    )  # (1, 1, H', W')
    size = tuple(image.shape[2:])
    return F.interpolate(cam.detach(), size=size, mode="bilinear", align_corners=False)[0, 0]


def _scale(cam: Tensor) -> Tensor:
    largest = cam.max()
    return cam / largest if largest > 0 else cam
