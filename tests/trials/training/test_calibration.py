"""A calibration takes what is clearly faster, costs little, changes nothing, and is told and gone by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.errors import StudyInterrupted
from convscout.search_space.losses import focal_loss
from convscout.trials.compute.precision import Precision, choose_precision
from convscout.trials.config import Measurement
from convscout.trials.data.batches import Batches
from convscout.trials.training import calibration
from convscout.trials.training.calibration import MARGIN, ROUNDS, calibrate, fastest, options
from convscout.trials.training.loop import TrainingState, training_step
from convscout.trials.training.run import Dispatch, TrialRun, never
from tests.support.digits import digits, dispatch

CPU = torch.device("cpu")
PLAIN, BFLOAT16, FIRST, BFLOAT16_FIRST = options(CPU)
LONG = 100  # epochs that leave time to try everything


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def timer(times_s: dict[Precision, float], asked: Counter[Precision]) -> Callable[[Precision], float]:
    """A step timer of known times; the first step of each takes ten times as long."""

    def step_s(precision: Precision) -> float:
        asked[precision] += 1
        return times_s[precision] * (10 if asked[precision] == 1 else 1)

    return step_s


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [
        ((1.0, 0.5, 1.0, 0.6), BFLOAT16),
        ((1.0, 4.0, 1.2, 5.0), PLAIN),
        ((1.0, 2.0, 0.8, 3.0), FIRST),
        ((1.0, 0.9, 0.9, 0.7), BFLOAT16_FIRST),
        ((1.0, 1 - MARGIN / 2, 1.0, 1.0), PLAIN),
        ((1.0, 0.8, 1.0, 0.8 * (1 - MARGIN / 2)), BFLOAT16),
    ],
)
def test_the_fastest_is_taken_and_the_simpler_of_equals(
    times_s: tuple[float, ...], expected: Precision
) -> None:
    times = dict(zip(options(CPU), times_s, strict=True))
    assert fastest(options(CPU), timer(times, Counter()), budget=1000) == expected


def test_the_hopeless_are_tried_twice_and_a_clear_answer_ends_it() -> None:
    asked: Counter[Precision] = Counter()
    fastest(options(CPU), timer({PLAIN: 1.0, BFLOAT16: 0.95, FIRST: 2.0, BFLOAT16_FIRST: 3.0}, asked), 1000)
    assert asked == {PLAIN: ROUNDS, BFLOAT16: ROUNDS, FIRST: 2, BFLOAT16_FIRST: 2}
    asked.clear()
    fastest(options(CPU), timer({PLAIN: 1.0, BFLOAT16: 0.3, FIRST: 2.0, BFLOAT16_FIRST: 3.0}, asked), 1000)
    assert set(asked.values()) == {2}


def test_no_round_begins_once_the_budget_is_spent() -> None:
    asked: Counter[Precision] = Counter()
    fastest(options(CPU), timer(dict.fromkeys(options(CPU), 1.0), asked), budget=43)
    assert set(asked.values()) == {2}, "40 s to warm up, 4 s after it"


def fresh_state(order: Dispatch) -> TrainingState:
    torch.manual_seed(0)
    model = order.config.architecture.build(digits().image)
    return TrainingState(model=model, optimizer=order.config.recipe.optimizer.build(model))


def batches() -> Batches:
    return Batches(digits().train, digits().normalization, num_classes=10, device=CPU)


def calibrate_for(order: Dispatch, *, cache: Path | None, state: TrainingState | None = None) -> Precision:
    return calibrate(
        state or fresh_state(order),
        batches(),
        order.config,
        digits().image,
        CPU,
        cache=cache,
        should_stop=never,
    )


def numbers(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    yield from state.model.state_dict().items()
    yield "random", torch.get_rng_state()


def test_weights_and_random_state_are_left_alone(tmp_path: Path) -> None:
    order = dispatch(tmp_path, epochs=LONG)
    state = fresh_state(order)
    before = {name: value.clone() for name, value in numbers(state)}
    assert calibrate_for(order, cache=tmp_path / "cache", state=state) in options(CPU)
    assert list((tmp_path / "cache").iterdir()), "steps were taken"
    assert all(torch.equal(before[name], value) for name, value in numbers(state))
    assert not state.optimizer.state
    assert all(parameter.grad is None for parameter in state.model.parameters())


def test_what_was_found_is_kept_and_a_damaged_file_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, cache = dispatch(tmp_path, epochs=LONG), tmp_path / "cache"
    calibrate_for(order, cache=cache)
    (file,) = cache.iterdir()
    file.write_text(json.dumps({"precision": BFLOAT16_FIRST.name}))
    assert calibrate_for(order, cache=cache) == BFLOAT16_FIRST
    other = replace(order, config=replace(order.config, architecture=families.get("lenet")(width=9)))
    calibrate_for(other, cache=cache)
    assert len(list(cache.iterdir())) == 2, "other networks are another question"
    monkeypatch.setattr(calibration, "instruction_set", lambda: "of another processor")
    calibrate_for(order, cache=cache)
    assert len(list(cache.iterdir())) == 3, "and so are other instructions"
    monkeypatch.undo()
    for damage in (b"", b"\xff\x00", b"[]", b"{}", b'{"precision": 3}', b'{"precision": "float8 sideways"}'):
        file.write_bytes(damage)
        monkeypatch.setattr(calibration, "fastest", lambda *_: FIRST)
        assert calibrate_for(order, cache=cache) == FIRST
        assert json.loads(file.read_text()) == {"precision": FIRST.name}


def test_a_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert calibrate_for(dispatch(tmp_path, epochs=LONG), cache=tmp_path / "file" / "cache") in options(CPU)


def test_a_short_trial_and_one_that_cannot_be_tried_go_by_the_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def fails(*_: object) -> Tensor:
        nonlocal calls
        calls += 1
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr("convscout.trials.training.loop.training_step", fails)
    rule = choose_precision("auto", CPU)
    assert calibrate_for(dispatch(tmp_path), cache=tmp_path / "cache") == rule
    assert calls == 0, "nothing was tried"
    assert calibrate_for(dispatch(tmp_path, epochs=LONG), cache=tmp_path / "cache") == rule
    assert calls == 1
    assert not (tmp_path / "cache").exists()


def test_a_calibration_can_be_stopped(tmp_path: Path) -> None:
    order = dispatch(tmp_path, epochs=LONG, precision="auto")
    calls = iter(range(1000))
    run = TrialRun(order, digits(), should_stop=lambda: next(calls) >= 2)
    with pytest.raises(StudyInterrupted, match="calibrated"):
        run.epoch()


def train(order: Dispatch, most: int) -> list[Measurement]:
    with closing(TrialRun(order, digits())) as run:
        found = [run.epoch().measurement for _ in range(most)]
    return [replace(m, elapsed_s=0.0, images_per_s=0.0) for m in found if m is not None]


@pytest.mark.parametrize("kept", [0, 1], ids=["no checkpoint", "checkpoint"])
@pytest.mark.parametrize("chosen", [BFLOAT16, BFLOAT16_FIRST, FIRST], ids=lambda chosen: chosen.name)
def test_a_trial_goes_on_with_what_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: Precision, kept: int
) -> None:
    monkeypatch.setattr("convscout.trials.training.run.calibrate", lambda *_, **__: chosen)
    straight = train(dispatch(tmp_path / "straight", precision="auto"), 3)
    first = train(dispatch(tmp_path / "broken", precision="auto"), 1)
    if not kept:
        for file in (tmp_path / "broken").glob("epoch-*"):
            file.unlink()
    monkeypatch.setattr("convscout.trials.training.run.calibrate", lambda *_, **__: PLAIN)
    second = train(dispatch(tmp_path / "broken", precision="auto", reported=kept, attempt=2), 3 - kept)
    assert first[:kept] + second == straight
    assert {m.precision for m in straight} == {chosen.name}


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_named_format_is_not_calibrated(tmp_path: Path, name: str) -> None:
    (measurement,) = train(dispatch(tmp_path, precision=name, epochs=LONG), 1)
    assert measurement.precision == f"{name} channels-last"


@pytest.mark.parametrize("precision", options(CPU), ids=lambda precision: precision.name)
def test_losses_and_norm_statistics_are_float32(tmp_path: Path, precision: Precision) -> None:
    recipe = dispatch(tmp_path).config.recipe
    image = ImageSpec(in_channels=3, image_size=16, num_classes=10)
    model = families.get("resnet")(width=8).build(image).to(memory_format=precision.layout)
    state = TrainingState(model=model, optimizer=recipe.optimizer.build(model))
    losses: list[torch.dtype] = []
    outputs: list[Tensor] = []

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        losses.append(logits.dtype)
        return focal_loss(logits, targets, gamma=0.0, label_smoothing=0.1, weights=None)

    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    first.register_forward_hook(lambda *call: outputs.append(call[2]))
    images, targets = torch.randn(10, 3, 16, 16), torch.eye(10)
    answer = training_step(state, images, targets, loss, recipe, precision)
    assert answer.dtype == torch.float32
    assert losses == [torch.float32]
    assert outputs[0].dtype == precision.dtype, "the format is in use"
    assert outputs[0].is_contiguous(memory_format=precision.layout), "so is the layout"
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert norm.running_mean is not None and norm.running_var is not None
        assert norm.running_mean.dtype == norm.running_var.dtype == norm.weight.dtype == torch.float32
        assert norm.running_mean.count_nonzero(), "the statistics moved"
    assert all(p.dtype == torch.float32 for p in model.parameters())
