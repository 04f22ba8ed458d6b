"""A machine is measured once, looked at again before each search, and told in figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convscout.services.config.home import Home
from convscout.services.executors import machine_speed as services_speed
from convscout.services.executors.machine_speed import describe, known_speed, machine_speed
from convscout.trials.training import machine_speed as trials_speed
from convscout.trials.training.machine_speed import (
    FEW_IMAGES,
    MORE_IMAGES,
    REFERENCES,
    USUAL_INTERPRETER_S,
    MachineSpeed,
    Reference,
    measure_speed,
    time_steps,
)
from tests.support.simulated_search import Machine

CPU = torch.device("cpu")
FAST = Machine(speed=1.0, workers=2).measured


def test_steps_of_two_sizes_tell_what_a_step_and_an_image_take() -> None:
    step_s, image_s = time_steps(lambda count: 0.5 + 0.01 * count)
    assert (step_s, image_s) == (pytest.approx(0.5), pytest.approx(0.01))


@pytest.mark.parametrize(("few_s", "more_s"), [(0.2, 0.1), (0.1, 0.1), (0.1, 0.4), (0.1, 5.0)])
def test_a_clock_that_jumps_lets_neither_step_nor_image_take_nothing(few_s: float, more_s: float) -> None:
    """Others may run while the few images are timed, or while the many are, which seem to take all the time then."""
    step_s, image_s = time_steps(lambda count: few_s if count == FEW_IMAGES else more_s)
    assert step_s > 0 and image_s > 0
    assert step_s + FEW_IMAGES * image_s == pytest.approx(few_s)


def test_a_real_measurement_tells_of_every_reference_and_can_be_stored() -> None:
    speed = measure_speed(CPU, 1, patience_s=60.0)
    assert [each.name for each in speed.references] == list(REFERENCES)
    assert all(each.images_per_s > 0 and each.complexity.flops > 0 for each in speed.references)
    assert speed.main.name == "speednet" and speed.overhead >= 1
    assert MachineSpeed.from_dict(json.loads(json.dumps(speed.to_dict()))) == speed


def test_it_leaves_random_numbers_and_threads_as_they_were() -> None:
    before = torch.get_rng_state(), torch.get_num_threads()
    measure_speed(CPU, 2, patience_s=0.0)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == torch.get_num_threads()


def test_a_machine_without_patience_is_known_by_its_smallest_network() -> None:
    speed = measure_speed(CPU, 1, patience_s=0.0)
    assert [each.name for each in speed.references] == list(REFERENCES)[:1]
    assert "small speednet" in describe(speed)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[MachineSpeed]]:
    """What the machine is found to be; each time it is measured in full, one more is taken from the end."""
    found: list[MachineSpeed] = []

    def measure(*args: object, **options: object) -> MachineSpeed:
        return found.pop()

    monkeypatch.setattr(services_speed, "measure_speed", measure)
    yield found


def _now(monkeypatch: pytest.MonkeyPatch, times: float) -> None:
    """The smallest network now takes so many times as long as on the fast machine."""
    first = FAST.references[0]
    slower = replace(first, step_s=times * first.step_s, image_s=times * first.image_s)

    def measure(name: str, device: torch.device) -> Reference:
        assert name == first.name
        return slower

    monkeypatch.setattr(services_speed, "measure_reference", measure)


def test_a_machine_is_measured_once(
    tmp_path: Path, measured: list[MachineSpeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    measured.append(FAST)
    assert known_speed(home, "cpu") is None
    assert machine_speed(home, "cpu") == known_speed(home, "cpu") == FAST
    _now(monkeypatch, 1.2)
    assert machine_speed(home, "cpu") == FAST and not measured


def test_a_machine_that_has_become_slower_is_measured_again(
    tmp_path: Path, measured: list[MachineSpeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Machine(speed=0.3, workers=2).measured
    measured += [slow, FAST]
    assert machine_speed(Home(tmp_path), "cpu") == FAST
    _now(monkeypatch, 3.0)
    assert machine_speed(Home(tmp_path), "cpu") == slow == known_speed(Home(tmp_path), "cpu")


def test_another_processor_another_number_of_threads_or_another_instruction_set_is_another_machine(
    tmp_path: Path, measured: list[MachineSpeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured.append(FAST)
    home = Home(tmp_path)
    machine_speed(home, "cpu")
    for name, other in (("cpu_name", "another"), ("instruction_set", "another"), ("num_cores", 77)):
        with monkeypatch.context() as patched:
            patched.setattr(services_speed, name, lambda other=other: other)
            assert known_speed(home, "cpu") is None, name
    assert known_speed(home, "cpu") == FAST


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"references": 3}', b"\xff"])
def test_a_damaged_record_is_measured_anew(
    tmp_path: Path, measured: list[MachineSpeed], damage: bytes
) -> None:
    measured += [FAST, FAST]
    home = Home(tmp_path)
    machine_speed(home, "cpu")
    [file] = (home.cache / "machine").iterdir()
    file.write_bytes(damage)
    assert known_speed(home, "cpu") is None
    assert machine_speed(home, "cpu") == known_speed(home, "cpu") == FAST


def test_the_figures_are_told() -> None:
    main = replace(FAST.main, step_s=0.0, image_s=1 / 61)
    speed = replace(FAST, references=(main,), answers_per_s=355.4)
    assert describe(speed) == (
        "this machine trains speednet at 61 images/s a thread; it answers 355 on all 2 (float32 channels-last)"
    )
    assert describe(replace(speed, threads=1)).endswith("it answers 355 on 1 (float32 channels-last)")


def test_what_takes_no_training_takes_as_much_longer_as_python_does() -> None:
    assert replace(FAST, interpreter_s=3 * USUAL_INTERPRETER_S).overhead == 3
    assert replace(FAST, interpreter_s=0.1 * USUAL_INTERPRETER_S).overhead == 1


def test_the_steps_that_are_timed_differ_enough_to_tell() -> None:
    assert MORE_IMAGES >= 2 * FEW_IMAGES and trials_speed.BATCH_SIZE >= MORE_IMAGES
