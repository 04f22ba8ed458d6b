"""Method: one way to say which pixels speak for a class, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from convscout.services.explaining.networks import ExplainedNetwork

Heat: TypeAlias = npt.NDArray[np.float32]
"""(H, W): how much each pixel counts, in a unit of the method's own."""


class Method(ABC):
    """A way to explain. A method is a subclass, registered with ``@methods.register(NAME)``.

    ``signed`` says whether what speaks against the class is told too, by negative numbers; ``coarse`` whether its heat
    has no detail of single pixels, and is shown smoothly.

        import torch
        from convscout.services.explaining.method import Method
        from convscout.services.plugins import methods

        @methods.register("gradient")
        class Gradient(Method):
            signed = True
            coarse = False

            def heat(self, network, image, target):
                pixels = image.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(network(pixels)[0, target], pixels)
                return gradient[0].sum(dim=0).numpy()  # (C, H, W) to (H, W)
    """

    name: ClassVar[str]
    signed: ClassVar[bool]
    coarse: ClassVar[bool]

    @abstractmethod
    def heat(self, network: ExplainedNetwork, image: Tensor, target: int) -> Heat | str:
        """How much each pixel of one normalised ``image`` (1, C, H, W) counts for the class ``target``.

        A string says why this network cannot be explained in this way. The answer is the same each time; network and
        image are left as they were.
        """
