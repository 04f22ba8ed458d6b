"""fashion-mnist: 70,000 grey 28×28 pictures of clothes (Xiao et al., arXiv 1708.07747), official split."""

from __future__ import annotations

from pathlib import Path

from convscout.trials.data.datasets.mnist import Mnist
from convscout.trials.data.sources import sources
from convscout.trials.data.splits import HORIZONTAL_FLIP


@sources.register("fashion-mnist")
class FashionMnist(Mnist):
    """70,000 grey 28×28 pictures of ten kinds of clothes.

    The format and the file names are those of MNIST. A mirrored garment is the same garment;
    shoes do all point one way here, but which way is no part of their class.
    """

    published = "FashionMNIST"
    class_names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    symmetries = (HORIZONTAL_FLIP,)
    installed = (Path("/usr/share/datasets/fashion-mnist"),)  # Debian's package dataset-fashion-mnist
