"""FractalNet: where columns meet, what drop-path leaves, and columns as networks of their own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from convscout.search_space.architecture import ImageSpec
from convscout.search_space.families.fractalnet import (
    FractalBlock,
    FractalNet,
    FractalNetConfig,
    extract_column,
    global_path,
    join_members,
    local_paths,
)
from tests.support.variants import variant_of

IMAGE = ImageSpec(in_channels=3, image_size=16, num_classes=5)
COLUMNS = 3


def network(drop_path: str = "none", **knobs: int) -> FractalNet:
    torch.manual_seed(0)
    return FractalNetConfig(width=8, blocks=3, columns=COLUMNS, drop_path=drop_path, **knobs).build(IMAGE)


def column_weights(net: FractalNet, column: int) -> Tensor:
    """Weights of joins that pass ``column`` on wherever it takes part."""
    members = torch.tensor(join_members(COLUMNS))
    weights = members / members.sum(1, keepdim=True)
    weights[members[:, column]] = nn.functional.one_hot(torch.tensor(column), COLUMNS).float()
    return weights.expand(len(net.blocks), *weights.shape)


def test_columns_meet_where_they_are_equally_deep() -> None:
    assert join_members(1) == ((True,),)
    assert join_members(3) == (
        (False, False, True),
        (False, True, True),
        (False, False, True),
        (True, True, True),
    )


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_a_block_is_the_fractal_of_the_paper(columns: int) -> None:
    """Section 3: f(z) of C columns is the mean of conv(z) and f(f(z)) of C - 1, adjacent means being one."""
    block = FractalBlock(3, 4, FractalNetConfig(columns=columns)).eval()
    members = torch.tensor(join_members(columns))
    maps = torch.randn(2, 3, 5, 5)
    used = [0] * columns

    def expand(maps: Tensor, column: int) -> list[Tensor]:
        """The inputs of the join that ends the fractal of ``column`` and all deeper columns."""
        conv = block.columns[column][used[column]]
        used[column] += 1
        deeper: list[Tensor] = []
        if column + 1 < columns:
            middle = torch.stack(expand(maps, column + 1)).mean(0)
            deeper = expand(middle, column + 1)
        return [conv(maps), *deeper]

    expected = torch.stack(expand(maps, 0)).mean(0)
    torch.testing.assert_close(block(maps, members / members.sum(1, keepdim=True)), expected)
    assert used == [2**column for column in range(columns)]


@pytest.mark.parametrize("column", range(COLUMNS))
def test_an_extracted_column_answers_as_that_path_of_the_network(column: int) -> None:
    net = network().eval()
    images = torch.randn(4, 3, 16, 16)
    logits = net.forward_head(net.forward_paths(images, column_weights(net, column)))
    plain = extract_column(net, column).eval()
    torch.testing.assert_close(plain(images), logits)
    convs = [module for module in plain.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == 3 * 2**column
    assert not torch.allclose(plain(images), net(images))


def test_an_extracted_column_is_a_copy_and_minus_one_the_deepest() -> None:
    net = network()
    plain = extract_column(net, -1)
    assert len(list(plain.parameters())) == len(list(extract_column(net, COLUMNS - 1).parameters()))
    for parameter in plain.parameters():
        nn.init.zeros_(parameter)
    assert all(p.any() for name, p in net.named_parameters() if name.endswith("conv.weight"))
    with pytest.raises(IndexError):
        extract_column(net, COLUMNS)


def test_a_column_of_a_net_with_a_stem_keeps_the_stem() -> None:
    image = ImageSpec(in_channels=1, image_size=64, num_classes=5)
    net = FractalNetConfig(width=8, blocks=3).build(image).eval()
    assert extract_column(net, 0).eval()(torch.randn(2, 1, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_local_drop_path_drops_at_its_rate_but_never_all(rate: float) -> None:
    torch.manual_seed(0)
    members = torch.tensor(join_members(COLUMNS)).repeat(2000, 1)
    kept = local_paths(members, rate)
    assert not (kept & ~members).any()
    assert kept.any(1).all()
    full = kept[members.all(1)]  # joins of three
    expected = COLUMNS * (1 - rate) + rate**COLUMNS  # where all were dropped, one is kept
    assert full.sum(1).float().mean().item() == pytest.approx(expected, abs=0.05)


def test_global_drop_path_leaves_one_column_for_the_whole_network() -> None:
    torch.manual_seed(0)
    members = torch.tensor(join_members(COLUMNS)).repeat(5, 1)
    drawn = set()
    for _ in range(30):
        kept = global_path(members)
        (column,) = {tuple(row.tolist()) for row in kept[members.all(1)]}
        assert sum(column) == 1
        index = column.index(True)
        assert torch.equal(kept[members[:, index]].sum(1), torch.ones(int(members[:, index].sum())).long())
        drawn.add(index)
    assert drawn == set(range(COLUMNS))


@pytest.mark.parametrize(("drop_path", "outcomes"), [("none", 1), ("global", COLUMNS)])
def test_training_draws_paths_anew_for_every_batch(drop_path: str, outcomes: int) -> None:
    net = network(drop_path)
    weights = {tuple(net.path_weights().flatten().tolist()) for _ in range(40)}
    assert len(weights) == outcomes


def test_mixed_drop_path_is_now_local_and_now_global() -> None:
    net = network("mixed")
    single = [bool((net.path_weights()[:, -1].amax(1) == 1).all()) for _ in range(200)]
    assert 0.35 < sum(single) / len(single) < 0.65


@pytest.mark.parametrize("drop_path", ["none", "local", "global", "mixed"])
def test_outside_training_joins_are_plain_means(drop_path: str) -> None:
    net = network(drop_path).eval()
    weights = net.path_weights()
    members = torch.tensor(join_members(COLUMNS))
    assert torch.equal(weights, (members / members.sum(1, keepdim=True)).expand(3, -1, -1))
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(net(images), net(images))


def test_global_drop_path_trains_the_column_that_is_left_alone() -> None:
    net = network("global")
    cross_entropy(net(torch.randn(8, 3, 16, 16)), torch.arange(8) % 5).backward()
    moved = [
        {bool(p.grad is not None and p.grad.any()) for n, p in net.named_parameters() if f"columns.{c}." in n}
        for c in range(COLUMNS)
    ]
    assert sorted(map(sorted, moved)) == [[False], [False], [True]]


@pytest.mark.parametrize(
    ("columns", "millions"), [(1, 0.3), (2, 0.8), (3, 2.1), (4, 4.8), (5, 10.2), (6, 21.1)]
)
def test_narrow_nets_have_the_published_number_of_parameters(columns: int, millions: float) -> None:
    """The paper's table of ultra-deep nets: 16 to 128 filters, 5 to 160 layers, CIFAR-100."""
    image = ImageSpec(in_channels=3, image_size=32, num_classes=100)
    with torch.device("meta"):
        net = FractalNetConfig(width=16, blocks=5, columns=columns).build(image)
    assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e6, 1) == millions


def test_the_published_widths_and_depth() -> None:
    image = ImageSpec(in_channels=3, image_size=32, num_classes=10)
    with torch.device("meta"):
        net = variant_of("fractalnet", "fractalnet20").build(image)
    assert isinstance(net, FractalNet)
    deepest = [m for m in extract_column(net, -1).modules() if isinstance(m, nn.Conv2d)]
    assert len(deepest) == 20
    widths = [conv.out_channels for conv in deepest[3::4]]
    assert widths == [64, 128, 256, 512, 512]
