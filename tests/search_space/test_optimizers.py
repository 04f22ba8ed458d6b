"""Every optimizer: learns, resumes, spares biases and norms, and carries its settings."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from convscout.search_space.optimizer import optimizer_from_dict, optimizers
from convscout.search_space.orthogonalization import NEWTON_SCHULZ, orthogonalize

WITH_MOMENTUM = ("muon", "rmsprop", "sgd")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 9, 1))


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    images = torch.linspace(-1, 1, 8 * 25).view(8, 1, 5, 5)
    loss = mse_loss(model(images), torch.arange(8.0)[:, None] / 8)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize("name", optimizers.names())
def test_filters_and_matrices_decay_but_biases_and_norms_do_not(name: str) -> None:
    model, config = network(), optimizers.get(name)(weight_decay=0.04)
    groups = config.build(model).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    expected = {key: 0.04 if key in ("0.weight", "3.weight") else 0.0 for key, _ in model.named_parameters()}
    assert {key: decay[id(p)] for key, p in model.named_parameters()} == expected
    assert all(group["lr"] == group["lr_scale"] * config.learning_rate for group in groups)


@pytest.mark.parametrize("name", optimizers.names())
def test_frozen_parameters_are_left_out(name: str) -> None:
    model = network()
    model[0].requires_grad_(False)
    held = {id(p) for group in optimizers.get(name)().build(model).param_groups for p in group["params"]}
    assert held == {id(p) for p in [*model[1].parameters(), *model[3].parameters()]}


@pytest.mark.parametrize("name", optimizers.names())
def test_it_learns_and_goes_on_from_a_saved_state(name: str) -> None:
    config, model = optimizers.get(name)(), network().to(memory_format=torch.channels_last)
    config = replace(config, learning_rate=min(config.learning_rate, 0.01))
    if name == "normalized_muon":  # whose linear layers learn at a rate for logits that are scaled down
        config = replace(config, head_factor=1.0)
    optimizer = config.build(model)
    first = step(model, optimizer)
    for _ in range(60):
        last = step(model, optimizer)
    assert last < first / 2
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    expected = [step(model, optimizer) for _ in range(3)]
    other = network().to(memory_format=torch.channels_last)
    other.load_state_dict(saved[0])
    resumed = config.build(other)
    resumed.load_state_dict(saved[1])
    assert [step(other, resumed) for _ in range(3)] == expected


@pytest.mark.parametrize(
    ("name", "changes"),
    [*((name, {}) for name in optimizers.names()), *((name, {"momentum": 0.0}) for name in WITH_MOMENTUM)],
    ids=str,
)
def test_the_size_of_its_state_is_known(name: str, changes: dict[str, float]) -> None:
    config, model = optimizers.get(name)(**changes), network()
    optimizer = config.build(model)
    step(model, optimizer)
    for parameter in model.parameters():
        state = [
            value
            for key, value in optimizer.state[parameter].items()
            if key != "step" and isinstance(value, torch.Tensor)
        ]
        assert sum(each.numel() for each in state) == config.state_size(parameter) * parameter.numel()


@pytest.mark.parametrize("name", optimizers.names())
def test_json_round_trip(name: str) -> None:
    config = optimizers.get(name)()
    assert optimizer_from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_momentum_zero_is_plain_gradient_descent() -> None:
    optimizer = optimizers.get("sgd")(momentum=0.0).build(network())
    assert optimizer.param_groups[0]["nesterov"] is False


def test_nesterov_can_be_left_out() -> None:
    assert optimizers.get("sgd")().build(network()).param_groups[0]["nesterov"] is True
    assert optimizers.get("sgd")(nesterov=False).build(network()).param_groups[0]["nesterov"] is False


def test_a_step_of_muon_is_orthogonal_and_leaves_the_rest_to_adamw() -> None:
    models = {name: network() for name in ("muon", "adamw")}
    before = copy.deepcopy(models["muon"].state_dict())
    for name, model in models.items():
        torch.manual_seed(1)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizers.get(name)(learning_rate=0.01, weight_decay=0.0).build(model).step()
    after = models["muon"].state_dict()
    for key in ("0.weight", "3.weight"):
        change = (after[key] - before[key]).flatten(1)  # (out, in · height · width)
        sizes = torch.linalg.svdvals(change) / (0.01 * 0.2 * max(change.shape) ** 0.5)
        assert ((sizes > 0.5) & (sizes < 1.5)).all()
    for key in ("0.bias", "1.weight", "1.bias", "3.bias"):
        assert torch.equal(after[key], models["adamw"].state_dict()[key])


def test_normalized_muon_turns_filters_of_constant_norm_and_leaves_the_rest_to_sgd() -> None:
    model, other = network(), network()
    config = optimizers.get("normalized_muon")(learning_rate=0.02, weight_decay=0.0, iterations=5)
    optimizer = config.build(model)
    sgd = torch.optim.SGD(
        [
            {"params": [other[3].weight], "lr": config.head_factor * 0.02},
            {
                "params": [*other[1].parameters(), other[3].bias, other[0].bias],
                "lr": config.bias_factor * 0.02,
            },
        ],
        momentum=0.85,
        nesterov=True,
    )
    before = model[0].weight.detach().clone()
    for own, alike in zip(model.parameters(), other.parameters(), strict=True):
        own.grad = torch.randn(own.shape)
        alike.grad = own.grad.clone()
    optimizer.step()
    sgd.step()
    filters, start = model[0].weight.detach().flatten(1), before.flatten(1)
    start *= len(start) ** 0.5 / start.norm()
    turned = (start - filters) / 0.02
    # the quintic is done once singular values are near to one, not at one
    assert torch.linalg.svdvals(turned) == pytest.approx(torch.ones(4).numpy(), abs=0.35)
    for key, value in other.state_dict().items():
        if key != "0.weight":
            torch.testing.assert_close(model.state_dict()[key], value)


def test_the_layout_of_filters_does_not_matter_to_muon() -> None:
    plain, last = network(), network().to(memory_format=torch.channels_last)
    for model in (plain, last):
        torch.manual_seed(1)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape)
        optimizers.get("muon")().build(model).step()
    for one, other in zip(plain.parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("as_tensor", [False, True], ids=["number", "tensor"])
def test_muon_is_that_of_torch(as_tensor: bool) -> None:
    """Whose optimizer takes matrices alone, and reads a learning rate back that is a tensor."""
    torch.manual_seed(0)
    ours, theirs = (nn.Linear(6, 9, bias=False) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    config = optimizers.get("muon")(learning_rate=0.03, weight_decay=0.2, momentum=0.8)
    mine = config.build(ours)
    if as_tensor:
        mine.param_groups[0]["lr"] = torch.tensor(0.03)
    reference = torch.optim.Muon(
        theirs.parameters(), lr=0.03, weight_decay=0.2, momentum=0.8, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(5):
        ours.weight.grad = torch.randn(9, 6)
        theirs.weight.grad = ours.weight.grad.clone()
        mine.step()
        reference.step()
    # torch computes in bfloat16, to about a hundredth of a change
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "matrix",
    [
        torch.linspace(-1, 1, 32 * 288).sin().view(32, 288),
        torch.randn(96, 40, generator=torch.Generator().manual_seed(0)),
        torch.randn(64, 64, generator=torch.Generator().manual_seed(1)),
        torch.logspace(0, -6, 20).diag(),
        torch.ones(16, 3),
        torch.zeros(5, 7),
    ],
    ids=["wide", "tall", "square", "of tiny singular values", "of rank one", "zero"],
)
def test_a_matrix_is_made_orthogonal_as_by_the_published_iteration(matrix: Tensor) -> None:
    linear, cubic, quintic = NEWTON_SCHULZ
    published = matrix.double() / matrix.double().norm().clamp(min=1e-7)
    for _ in range(5):
        gram = published @ published.T
        published = linear * published + (cubic * gram + quintic * gram @ gram) @ published
    torch.testing.assert_close(orthogonalize(matrix).double(), published, rtol=1e-3, atol=1e-4)
