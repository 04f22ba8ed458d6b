"""Diagrams: rows add up to the whole for every family, and say what people would say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscout.search_space.architecture import ArchitectureConfig, ImageSpec, families
from convscout.search_space.classifier import Classifier
from convscout.search_space.complexity_meter import measure
from convscout.search_space.diagram import Row, diagram
from convscout.search_space.errors import UnbuildableError
from convscout.search_space.layers import Subsample
from tests.support.variants import every_variant, recipe_for, variant_of

SMALL = ImageSpec(in_channels=3, image_size=32, num_classes=10)
DEFAULTS = [(name, "") for name in families.names()]


def first_variants() -> list[tuple[str, str]]:
    """A published configuration of each family that has any."""
    return list({family: (family, variant) for family, variant in reversed(every_variant())}.values())


@pytest.mark.parametrize(("family", "variant"), [*DEFAULTS, *first_variants()])
def test_rows_add_up_to_the_whole(family: str, variant: str) -> None:
    config = variant_of(family, variant) if variant else families.get(family)()
    rows, whole = diagram(config, SMALL), measure(config, recipe_for(SMALL), SMALL)
    assert sum(row.params for row in rows) == whole.params
    assert sum(row.flops for row in rows) == whole.flops
    assert all(row.name and row.made_of for row in rows)
    assert len({row.name for row in rows}) == len(rows)
    answering = [row for row in rows if row.output is not None]
    assert answering[-1].output == (10,)
    assert not any(row.flops for row in rows if row.output is None)


def test_resnet18_as_one_would_draw_it() -> None:
    def conv(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + 2 * outputs  # with its norm

    def stage(inputs: int, width: int) -> int:
        shortcut = conv(inputs, width, 1) if inputs != width else 0
        return conv(inputs, width, 3) + 3 * conv(width, width, 3) + shortcut

    rows = diagram(variant_of("resnet", "resnet18"), SMALL)
    assert [(row.name, row.made_of, row.output, row.params) for row in rows] == [
        ("stem", "ConvNormAct", (64, 32, 32), conv(3, 64, 3)),
        ("stage 1", "2 × Block", (64, 32, 32), stage(64, 64)),
        ("stage 2", "2 × Block", (128, 16, 16), stage(64, 128)),
        ("stage 3", "2 × Block", (256, 8, 8), stage(128, 256)),
        ("stage 4", "2 × Block", (512, 4, 4), stage(256, 512)),
        ("head", "PoolHead", (10,), 512 * 10 + 10),
    ]
    assert rows[0].flops == 3 * 64 * 9 * 32 * 32
    assert rows[1].flops == 4 * 64 * 64 * 9 * 32 * 32


def test_auxiliary_heads_are_for_training_only() -> None:
    rows = diagram(variant_of("googlenet", "googlenet"), SMALL)
    *_, head, auxiliary = rows
    assert (head.name, head.output) == ("head", (10,))
    assert (auxiliary.made_of, auxiliary.output, auxiliary.flops) == ("2 × GoogLeNetAuxiliaryHead", None, 0)
    assert auxiliary.params > 0


def test_blocks_and_poolings_alternate_as_the_image_meets_them() -> None:
    names = [row.name for row in diagram(families.get("fractalnet")(), SMALL)]
    assert names[:4] == ["block 1", "pool 1", "block 2", "pool 2"]


class Mixed(Classifier):
    """A list that is never called, blocks alike, a block used twice, and weights of its own."""

    def __init__(self, image: ImageSpec) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(image.in_channels, 1, 1))
        self.filters = nn.Parameter(torch.zeros(4, image.in_channels, 1, 1))
        self.cells = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(3))
        self.twice = nn.Sequential(nn.Identity(), nn.Conv2d(4, 4, 1, bias=False))
        self.skipped = nn.Identity()
        self.spare = nn.Linear(2, 2)
        self.shrink = Subsample(2)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(4 * (image.image_size // 2) ** 2, image.num_classes)
        )

    def forward_features(self, images: Tensor) -> Tensor:
        maps = F.conv2d(images + self.shift, self.filters)
        for cell in self.cells:
            maps = cell(maps)
        features: Tensor = self.shrink(self.skipped(self.twice(self.twice(maps))))
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits


@dataclass(frozen=True, kw_only=True)
class MixedConfig(ArchitectureConfig):
    """A family that follows none of the house's habits."""

    name = "mixed"

    def build(self, image: ImageSpec) -> Classifier:
        return Mixed(image)


def test_any_module_can_be_drawn() -> None:
    image = ImageSpec(in_channels=3, image_size=8, num_classes=5)
    pixels = 8 * 8
    rows: list[Any] = [
        Row(name="cell 1–3", made_of="3 × Conv2d", output=(4, 8, 8), params=3 * 144, flops=3 * 144 * pixels),
        Row(name="twice", made_of="Conv2d", output=(4, 8, 8), params=16, flops=2 * 16 * pixels),
        Row(name="shrink", made_of="Subsample", output=(4, 4, 4), params=0, flops=0),
        Row(name="head", made_of="Flatten, Linear", output=(5,), params=64 * 5 + 5, flops=64 * 5),
        Row(name="spare", made_of="Linear", output=None, params=6, flops=0),
        Row(name="itself", made_of="Mixed", output=(5,), params=3 + 12, flops=12 * pixels),
    ]
    assert diagram(MixedConfig(), image) == rows


def test_what_cannot_be_built_cannot_be_drawn() -> None:
    with pytest.raises(UnbuildableError, match="at least 8 × 8"):
        diagram(families.get("vgg")(), ImageSpec(in_channels=3, image_size=4, num_classes=10))
