"""The network of the CIFAR-10 speed runs, for images of any size and number of classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.league_sides.contestant import Images, Pixels
from benchmarks.league_sides.torch_parts import Normalized, autocast, channels_first

_WHITENED = 5000  # images from which the first layer is computed


class SpeedNet(nn.Module):
    """Pixels to logits: a layer that makes patches of 2 × 2 pixels white, three blocks, one linear layer."""

    def __init__(self, widths: tuple[int, int, int], images: Images) -> None:
        super().__init__()
        self.normalized = Normalized(images.x_train)
        self.whitening = self._whitening(images.x_train)
        inputs = (self.whitening.out_channels, *widths)
        self.blocks = nn.Sequential(*(Block(*each) for each in zip(inputs, widths, strict=False)))
        self.head = nn.Linear(widths[-1], images.num_classes, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.normalized(pixels).contiguous(memory_format=torch.channels_last)
        with autocast():
            x = self.blocks(F.gelu(self.whitening(x)))
            logits = self.head(F.max_pool2d(x, x.shape[-2:]).flatten(1)) / 9
        return logits.float()

    def _whitening(self, pixels: Pixels) -> nn.Conv2d:
        """Filters along the eigenvectors of all patches, of both signs; only their bias is trained."""
        channels = pixels.shape[-1]
        chosen = torch.randperm(len(pixels))[:_WHITENED].numpy()
        patches = F.unfold(self.normalized(channels_first(pixels[chosen])), 2)
        patches = patches.transpose(1, 2).flatten(0, 1).double()
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / torch.sqrt(values + 5e-4)).T.reshape(-1, channels, 2, 2).float()
        layer = nn.Conv2d(channels, 2 * len(filters), 2)
        layer.weight = nn.Parameter(torch.cat([filters, -filters]), requires_grad=False)
        nn.init.zeros_(layer.bias)
        return layer


class Block(nn.Module):
    """Two convolutions, and a pool between them where the map has four pixels a side or more."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(inputs, outputs), _convolution(outputs, outputs)
        self.first_norm, self.second_norm = _norm(outputs), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = F.max_pool2d(x, 2) if min(x.shape[-2:]) >= 4 else x
        x = F.gelu(self.first_norm(x))
        return F.gelu(self.second_norm(self.second(x)))


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """As many filters as there are inputs begin as the identity."""
    layer = nn.Conv2d(inputs, outputs, 3, padding="same", bias=False)
    nn.init.dirac_(layer.weight.data[:inputs])
    return layer


def _norm(channels: int) -> nn.BatchNorm2d:
    """With fast statistics and a weight of one."""
    layer = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer
