"""FractalNet: columns of convolutions, each twice as deep as its neighbour, that meet in means.

Larsson, Maire & Shakhnarovich (2017), "FractalNet: Ultra-Deep Neural Networks without Residuals", sections 3
and 4. In training, drop-path takes paths away for the length of a batch: locally, each join loses some of
its inputs; globally, one column is all that is left. Hence each column learns to work alone, and
``extract_column`` makes it a network of its own.

Deviations: dropped paths are computed and weighted with zero, so that their batch norms follow the data
and costs do not depend on chance; drop-path is off by default, as a training of a few epochs is better
without; dropout comes after a block's pooling, at one rate for all blocks; the last join of a block comes
before its pooling, as the paper draws it, and not after, as its authors' code has it; weights are drawn after
He et al. (2015) instead of Glorot & Bengio (2010); the last maps are averaged and not max-pooled to one pixel;
images above 48 pixels go through the stem of ``resnet``; blocks stop pooling when maps would fall below
2 × 2.

The paper's nets of 16 to 128 filters have the number of parameters that it prints, from 0.3 M with one column
to 21.1 M with six. ``fractalnet20`` has 33.7 M, and 38.6 M are printed. The generator of networks that the
authors published (gustavla/fractalnet) has the same filters and wires them alike, which gives 33.7 M as well,
and so does khanrc/pt.fractalnet; where the other 4.9 M would be is not known.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.classifier import Classifier
from convscout.search_space.families.resnet import Stem
from convscout.search_space.families.vgg import stage_pools
from convscout.search_space.geometry import require_side, stage_widths, stem_reduction
from convscout.search_space.knobs import choice, integer, real
from convscout.search_space.layers import POOLINGS, ConvKnobs, ConvNormAct, PoolHead, initialize, pool_layer
from convscout.search_space.staged import StagedNet

GLOBAL_SHARE = 0.5  # of batches that see one column, where drop-path is mixed; as in the paper's experiments


@families.register("fractalnet")
@dataclass(frozen=True, kw_only=True)
class FractalNetConfig(ConvKnobs, ArchitectureConfig):
    """A FractalNet: column c of each block has ``2 ** (c - 1)`` convolutions."""

    width: int = integer(16, low=8, high=24, log=True, help="filters of the first block; doubled up to 8 ×")
    blocks: int = integer(4, low=3, high=5, maximum=6, help="fractal blocks, each ended by pooling")
    columns: int = integer(2, low=1, high=3, maximum=6, help="columns of a block")
    pool: str = choice("max", ("max",), legal=POOLINGS, help="how a block halves its maps")
    drop_path: str = choice(
        "none",
        ("none", "local", "global", "mixed"),
        help="what training drops: inputs of joins, columns, or either",
    )
    drop_path_rate: float = real(
        0.15, low=0.05, high=0.3, maximum=0.9, when={"drop_path": ("local", "mixed")},
        help="probability that a join loses an input",
    )  # fmt: skip

    strength: ClassVar[float] = 0.695
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fractalnet20": dict(width=64, blocks=5, columns=3, drop_path="mixed"),
    }

    def build(self, image: ImageSpec) -> FractalNet:
        require_side(self.name, image, 8)
        return FractalNet(self, image)


# geometry


def join_members(columns: int) -> tuple[tuple[bool, ...], ...]:
    """For each join of a block, from first to last: which columns end a convolution there."""
    steps = 2 ** (columns - 1)  # convolutions of the deepest column; there is a join after each
    return tuple(
        tuple(step % (steps >> column) == 0 for column in range(columns)) for step in range(1, steps + 1)
    )


# drop-path


def local_paths(members: Tensor, rate: float) -> Tensor:
    """``members`` less those dropped with probability ``rate``, but never all of a join: (J, columns) bool."""
    chances = torch.rand(members.shape, device=members.device).masked_fill(~members, -1)
    luckiest = chances == chances.amax(1, keepdim=True)
    return members & ((chances >= rate) | luckiest)


def global_path(members: Tensor) -> Tensor:
    """One random column wherever it takes part, and all columns elsewhere: (J, columns) bool."""
    columns = members.shape[1]
    drawn = torch.randint(columns, (1,), device=members.device)  # (1,)
    chosen = members & (torch.arange(columns, device=members.device) == drawn)
    return torch.where(chosen.any(1, keepdim=True), chosen, members)


def kept_paths(members: Tensor, config: FractalNetConfig) -> Tensor:
    """The inputs that joins keep for one batch, (J, columns) bool, by chance and as ``config`` says."""
    if config.drop_path == "none":
        return members
    local, single = local_paths(members, config.drop_path_rate), global_path(members)
    if config.drop_path == "mixed":
        return torch.where(torch.rand(1, device=members.device) < GLOBAL_SHARE, single, local)
    return local if config.drop_path == "local" else single


# blocks


class FractalBlock(nn.Module):
    """Columns from the same maps, joined wherever they are equally deep.

    Maps (N, in_channels, H, W) to (N, out_channels, H, W). Column c, counted from 0, is ``2 ** c``
    convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, config: FractalNetConfig) -> None:
        super().__init__()
        self.members = join_members(config.columns)
        self.columns = nn.ModuleList(
            nn.Sequential(
                *(
                    ConvNormAct(out_channels if index else in_channels, out_channels, config)
                    for index in range(2**column)
                )
            )
            for column in range(config.columns)
        )

    def forward(self, maps: Tensor, weights: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H, W); ``weights`` are (J, columns), one row for each join."""
        inputs = [maps] * len(self.columns)  # what each column reads next
        convs = [iter(column.children()) for column in self.columns]
        for members, join_weights in zip(self.members, weights, strict=True):
            ending = [column for column, is_member in enumerate(members) if is_member]
            paths = [next(convs[column])(inputs[column]) for column in ending]
            maps = join(paths, [join_weights[column] for column in ending])
            for column in ending:
                inputs[column] = maps
        return maps


def join(paths: list[Tensor], weights: list[Tensor]) -> Tensor:
    """The weighted mean of ``paths``, each (N, C, H, W), with one scalar for each."""
    if len(paths) == 1:
        return paths[0]
    total, *others = (weight * path for weight, path in zip(weights, paths, strict=True))
    for other in others:
        total = total + other
    return total


# net


class FractalNet(Classifier):
    """Fractal blocks, each followed by pooling, and a pooling head."""

    members: Tensor

    def __init__(self, config: FractalNetConfig, image: ImageSpec) -> None:
        super().__init__()
        self.config = config
        reduction = stem_reduction(image.image_size)
        pools = stage_pools(-(-image.image_size // reduction), config.blocks)
        widths = stage_widths(config.width, config.blocks)
        shrinks = reduction > 1
        self.stem = Stem(image.in_channels, config.width, reduction, config) if shrinks else nn.Identity()
        ends = pairwise([config.width if shrinks else image.in_channels, *widths])
        self.blocks = nn.ModuleList(FractalBlock(*channels, config) for channels in ends)
        self.pools = nn.ModuleList(
            nn.Sequential(pool_layer(config.pool, width, pool), config.dropout_layer())
            for width, pool in zip(widths, pools, strict=True)
        )
        self.head = PoolHead(widths[-1], image.num_classes, config)
        # on the device of the network, as a copy from the CPU in each step would wait for the GPU
        members = torch.tensor(join_members(config.columns)).repeat(config.blocks, 1)
        self.register_buffer("members", members, persistent=False)  # (blocks · J, columns)
        initialize(self, config.init)

    def forward_features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images → (N, C', H', W')."""
        return self.forward_paths(images, self.path_weights())

    def forward_head(self, features: Tensor) -> Tensor:
        """(N, C', H', W') → (N, num_classes) logits."""
        logits: Tensor = self.head(features)
        return logits

    def forward_paths(self, images: Tensor, weights: Tensor) -> Tensor:
        """(N, C, H, W) images → (N, C', H', W'), joined by ``weights`` (blocks, J, columns)."""
        maps = self.stem(images)
        for block, pool, block_weights in zip(self.blocks, self.pools, weights, strict=True):
            maps = pool(block(maps, block_weights))
        features: Tensor = maps
        return features

    def path_weights(self) -> Tensor:
        """The share of each column in each join, (blocks, J, columns): equal ones, less what drop-path drops."""
        kept = kept_paths(self.members, self.config) if self.training else self.members
        weights = kept / kept.sum(1, keepdim=True)
        return weights.view(self.config.blocks, -1, self.config.columns)


# columns by themselves


def extract_column(net: FractalNet, column: int) -> StagedNet:
    """Column ``column`` of ``net`` as a plain network, with a copy of its weights; -1 is the deepest.

    Its norms have seen what other columns put into the joins as well: to be accurate, it needs their
    statistics measured anew (``torch.optim.swa_utils.update_bn``) unless ``net`` was trained with
    global drop-path alone. Raises ``IndexError`` where there is no such column.
    """
    stages = nn.Sequential()
    for block, pool in zip(net.blocks, net.pools, strict=True):
        assert isinstance(block, FractalBlock)
        stages.append(nn.Sequential(block.columns[column], pool))
    return copy.deepcopy(StagedNet(net.stem, stages, net.head))
