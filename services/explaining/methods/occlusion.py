"""Occlusion: how much the answer suffers when a part of the picture is covered.

Zeiler & Fergus (2014), "Visualizing and Understanding Convolutional Networks", section 4.2. A square of the mean colour
of the training images is moved over the picture; a pixel shows the mean of all squares that covered it.
"""

from __future__ import annotations

from captum.attr import Occlusion
from torch import Tensor

from convscout.services.explaining.method import Heat, Method
from convscout.services.explaining.networks import ExplainedNetwork
from convscout.services.plugins import methods

_PART = 6  # the square's side is this part of the picture's
_BATCH = 32  # covered pictures that are computed together


@methods.register("occlusion")
class OcclusionMethod(Method):
    """What the log-odds lose, or gain, as a negative number."""

    signed = True
    coarse = True

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        channels, side = image.shape[1:3]
        window = max(2, round(side / _PART))
        stride = max(1, window // 2)
        lost: Tensor = Occlusion(network).attribute(
            image,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=0.0,
            target=target,
            perturbations_per_eval=_BATCH,
        )
        heat: Heat = lost[0].mean(dim=0).detach().numpy()  # all channels are covered together
        return heat
