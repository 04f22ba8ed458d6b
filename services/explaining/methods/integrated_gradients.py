"""Integrated gradients: what each pixel adds to the answer on the way from a grey picture to this one.

Sundararajan, Taly & Yan (2017), "Axiomatic Attribution for Deep Networks", section 3. The baseline is the mean colour
of the training images. The numbers of all pixels sum to what the answer differs by between the two.
"""

from __future__ import annotations

from captum.attr import IntegratedGradients
from torch import Tensor

from convscout.services.explaining.method import Heat, Method
from convscout.services.explaining.networks import ExplainedNetwork
from convscout.services.plugins import methods

STEPS = 50
_BATCH = 25  # steps that are computed together


@methods.register("integrated-gradients")
class IntegratedGradientsMethod(Method):
    """Shares in the log-odds, for and against."""

    signed = True
    coarse = False

    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        shares: Tensor = IntegratedGradients(network).attribute(
            image, baselines=0.0, target=target, n_steps=STEPS, internal_batch_size=_BATCH
        )
        heat: Heat = shares[0].sum(dim=0).detach().float().numpy()  # (C, H, W) → (H, W)
        return heat
