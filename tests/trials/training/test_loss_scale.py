"""float16: gradients keep their value, an overflow costs a step, and a trial goes on with its scale."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from convscout.search_space.architecture import families
from convscout.search_space.errors import ConfigError
from convscout.search_space.optimizer import optimizers
from convscout.trials.compute.precision import DTYPES, Precision, choose_precision, formats_to_try
from convscout.trials.config import Measurement
from convscout.trials.data.batches import Batches
from convscout.trials.training import loss_scale
from convscout.trials.training.loop import TrainingState, train
from convscout.trials.training.loss_scale import FIRST, LossScale
from convscout.trials.training.run import Dispatch, TrialRun
from tests.support.digits import digits, dispatch, epochs_of, recipe

CPU = torch.device("cpu")
FLOAT16 = Precision(CPU, torch.float16)  # slow there, but the same arithmetic


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def gradient(value: float, scale: LossScale) -> torch.Tensor:
    weight = nn.Parameter(torch.tensor([2.0, 3.0]))
    scale.scaled((weight * torch.tensor([value, 1.0])).sum()).backward()
    assert weight.grad is not None
    scale.unscale([weight.grad])
    return weight.grad


def scale_of(scale: LossScale) -> float:
    return scale.state_dict()["scale"].item()


def test_a_gradient_keeps_its_value() -> None:
    scale = LossScale(CPU)
    assert gradient(1e-7, scale).tolist() == pytest.approx([1e-7, 1.0])
    assert scale_of(scale) == FIRST


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_an_overflow_counts_as_zero_and_halves_the_scale(value: float) -> None:
    scale = LossScale(CPU)
    assert gradient(value, scale).tolist() == [0.0, 0.0]
    assert scale_of(scale) == FIRST / 2


def test_the_scale_grows_after_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_scale, "PATIENCE", 3)
    scale = LossScale(CPU)
    for _ in range(3):
        gradient(1.0, scale)
    assert scale_of(scale) == 2 * FIRST


@pytest.mark.parametrize("name", optimizers.names())
def test_float16_learns_as_float32_does(name: str) -> None:
    losses = []
    for precision in (FLOAT16, Precision(CPU, torch.float32)):
        settings = recipe(optimizer=optimizers.get(name)(), clipping="norm", epochs=2)
        torch.manual_seed(0)
        model = families.get("lenet")(width=8).build(digits().image)
        state = TrainingState(model=model, optimizer=settings.optimizer.build(model))
        training = Batches(digits().train, digits().normalization, num_classes=10, device=CPU)
        measurements = train(
            state, training, training, settings, seed=1, precision=precision, should_stop=lambda: False
        )
        losses.append([m.train_loss for m in epochs_of(measurements)])
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def measurements(order: Dispatch, most: int) -> list[Measurement]:
    with closing(TrialRun(order, digits())) as run:
        found = [run.epoch().measurement for _ in range(most)]
    return [replace(m, elapsed_s=0.0, images_per_s=0.0) for m in found if m is not None]


@pytest.mark.slow
def test_an_interrupted_trial_goes_on_with_its_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscout.trials.training.run.calibrate", lambda *_, **__: FLOAT16)
    monkeypatch.setattr(loss_scale, "PATIENCE", 10)  # so that it changes
    straight = measurements(dispatch(tmp_path / "straight", precision="auto"), 3)
    first = measurements(dispatch(tmp_path / "broken", precision="auto"), 2)
    second = measurements(dispatch(tmp_path / "broken", precision="auto", reported=2, attempt=2), 1)
    assert first + second == straight
    assert {m.precision for m in straight} == {"float16 channels-last"}


def test_float16_is_refused_on_a_cpu() -> None:
    with pytest.raises(ConfigError, match="must be one of auto, float32, bfloat16 where"):
        choose_precision("float16", CPU)
    assert torch.float16 not in formats_to_try(CPU)
    with pytest.raises(ValueError, match="float16"):
        Precision.from_name("float16 channels-last", CPU)


@pytest.mark.parametrize(("native", "second"), [(True, "bfloat16"), (False, "float16")])
def test_float16_is_tried_where_a_gpu_lacks_bfloat16(
    monkeypatch: pytest.MonkeyPatch, native: bool, second: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)
    assert formats_to_try(torch.device("cuda")) == [torch.float32, DTYPES[second]]
