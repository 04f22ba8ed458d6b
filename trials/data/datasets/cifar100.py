"""cifar100: 60,000 RGB 32×32 photographs of 100 kinds of things (Krizhevsky, 2009), official split.

Its labels are the 100 fine ones.
"""

from __future__ import annotations

from convscout.trials.data.datasets.cifar10 import Cifar10
from convscout.trials.data.sources import sources


@sources.register("cifar100")
class Cifar100(Cifar10):
    """60,000 RGB 32×32 photographs of a hundred kinds of things, in the format of CIFAR-10."""

    published = "CIFAR100"
