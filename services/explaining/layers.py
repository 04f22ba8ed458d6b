"""Looking into networks of any family: the last feature map, the filters of the first layer, what excites units."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convscout.search_space.classifier import Classifier

Excitations: TypeAlias = npt.NDArray[np.float32]
"""(N, F): how much each of N images excites each of F units."""

_POOLING = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.LPPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)


class _Output(NamedTuple):
    """What a module put out, in the order in which they ended."""

    module: nn.Module
    tensor: Tensor


def last_map(network: Classifier, image: Tensor) -> nn.Module | None:
    """The last module that puts out a map of features (N, C, H, W) with more than one place, None if there is none.

    What a pooling layer puts out does not count, nor whoever hands on its output or the image: pooled maps say less
    of where something is.
    """
    outputs = _run(network, image)
    maps = [
        each for each in outputs if each.tensor.ndim == 4 and each.tensor.shape[2] * each.tensor.shape[3] > 1
    ]
    handed_on = {id(image)} | {id(each.tensor) for each in maps if isinstance(each.module, _POOLING)}
    convolved = False
    found = None
    for each in maps:
        convolved = convolved or isinstance(each.module, nn.Conv2d)
        if convolved and id(each.tensor) not in handed_on:
            found = each.module
    return found


def first_filters(network: Classifier, image: Tensor) -> npt.NDArray[np.float32] | None:
    """The weights of the first layer (F, h, w, C), where each filter looks at all channels of an image; else None.

    Of a network without convolutions they are those of its first layer's units, if it sees pixels.
    """
    channels = image.shape[1]
    for module in (each.module for each in _run(network, image)):
        if isinstance(module, nn.Conv2d):
            weight = module.weight
            break
        if isinstance(module, nn.Linear):
            side = math.isqrt(module.in_features // channels)
            if channels * side * side != module.in_features:
                return None
            weight = module.weight.view(-1, channels, side, side)
            break
    else:
        return None
    if weight.shape[1] != channels:
        return None
    filters: npt.NDArray[np.float32] = weight.detach().permute(0, 2, 3, 1).numpy()  # (F, h, w, C)
    return filters


@torch.inference_mode()
def excitations(network: Classifier, images: Tensor) -> Excitations:
    """How much each image excites each unit of the last layer before the head: (N, C, H, W) → (N, F).

    Of a feature map it is the place that is excited most.
    """
    features = network.forward_features(images)  # (N, F, H', W') or (N, F)
    found: Excitations = (features.amax(dim=(2, 3)) if features.ndim == 4 else features).numpy()
    return found


@torch.inference_mode()
def _run(network: Classifier, image: Tensor) -> list[_Output]:
    outputs: list[_Output] = []

    def watch(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.append(_Output(module, output))

    hooks = [module.register_forward_hook(watch) for module in network.modules()]
    try:
        network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs
