"""The runtime model estimates high rather than low, and learns."""

from __future__ import annotations

import pytest

from convscout.search_space.complexity import Complexity
from convscout.services.search.runtime_model import KnownNetwork, RuntimeModel
from convscout.trials.config import Measurement


def _complexity(activations: int, flops: int = 0, params: int = 1) -> Complexity:
    return Complexity(params=params, flops=flops, activations=activations, peak_train_bytes=1)


def _measurement(epoch: int, elapsed_s: float, share: float = 1.0) -> Measurement:
    return Measurement(
        epoch=epoch,
        train_loss=1,
        val_loss=1,
        val_accuracy=0,
        val_balanced_accuracy=0,
        val_macro_f1=0,
        val_calibration_error=0.1,
        learning_rate=1,
        elapsed_s=elapsed_s,
        images_per_s=1,
        precision="float32 channels-last",
        share=share,
    )


def test_nothing_is_estimated_before_anything_was_seen() -> None:
    assert RuntimeModel().epoch_s(_complexity(100)) is None


def test_an_estimate_scales_up_with_cost_and_never_below_what_was_seen() -> None:
    runtime = RuntimeModel()
    first, second = _measurement(1, 10.0), _measurement(2, 14.0)
    runtime.observe(_complexity(100), None, first)
    assert runtime.epoch_s(_complexity(100)) == 10.0
    runtime.observe(_complexity(100), first, second)
    assert runtime.epoch_s(_complexity(100)) == 4.0
    assert runtime.epoch_s(_complexity(300)) == 12.0
    assert runtime.epoch_s(_complexity(10)) == 4.0


def test_a_wide_network_takes_as_much_longer_as_it_has_multiply_adds() -> None:
    runtime = RuntimeModel()
    runtime.observe(_complexity(100, flops=1_000), None, _measurement(1, 4.0))
    assert runtime.epoch_s(_complexity(150, flops=2_000)) == 8.0
    assert runtime.epoch_s(_complexity(150, flops=500)) == 6.0


def test_the_nearest_network_seen_decides() -> None:
    runtime = RuntimeModel()
    runtime.observe(_complexity(100), None, _measurement(1, 4.0))
    runtime.observe(_complexity(1000), None, _measurement(1, 20.0))
    assert runtime.epoch_s(_complexity(1000)) == 20.0
    assert runtime.epoch_s(_complexity(2000)) == 40.0


def test_a_clock_that_was_set_back_teaches_nothing() -> None:
    """The trial went on from its first epoch's checkpoint, after its second had taken long."""
    runtime = RuntimeModel()
    runtime.observe(_complexity(100), None, _measurement(1, 10.0))
    runtime.observe(_complexity(100), _measurement(2, 40.0), _measurement(3, 30.0))
    assert runtime.epoch_s(_complexity(100)) == runtime.median_epoch_s == 10.0


def test_an_epoch_that_the_time_ended_teaches_nothing_of_whole_ones() -> None:
    runtime = RuntimeModel()
    runtime.observe(_complexity(100), None, _measurement(1, 2.0, share=0.2))
    assert runtime.epoch_s(_complexity(100)) is None


def _known(
    activations: int, images_s: float, flops: int, steps_s: float = 1e-9, params: int = 1
) -> KnownNetwork:
    cost = _complexity(activations, flops, params)
    return KnownNetwork(complexity=cost, images_s=images_s, steps_s=steps_s)


def test_before_anything_is_trained_multiply_adds_and_activations_are_told_by_the_references() -> None:
    runtime = RuntimeModel([_known(100, 10.0, flops=900), _known(200, 12.0, flops=1_000)], images_per_s=500.0)
    assert runtime.epoch_s(_complexity(100, 900)) == pytest.approx(10.0)  # 1 s for 100 of either
    assert runtime.epoch_s(_complexity(50, 450)) == pytest.approx(5.0)
    assert runtime.epoch_s(_complexity(1_000, 0)) == pytest.approx(10.0)
    assert runtime.images_per_s is None and runtime.expected_images_per_s == 500.0


def test_steps_of_the_optimizer_take_longer_for_more_parameters_and_never_nothing() -> None:
    runtime = RuntimeModel(
        [
            _known(100, 10.0, flops=1, steps_s=3.0, params=1_000),
            _known(200, 20.0, flops=2, steps_s=5.0, params=2_000),
        ]
    )
    assert runtime.epoch_s(_complexity(100, params=4_000)) == pytest.approx(10.0 + 9.0, rel=0.01)
    assert runtime.least_epoch_s == pytest.approx(1.0)


def test_a_reference_whose_steps_took_no_time_teaches_nothing_of_them() -> None:
    """As an earlier version could measure and keep it, while others used the processor."""
    known = [_known(100, 10.0, flops=1, steps_s=0.0), _known(200, 20.0, flops=2, steps_s=4.0)]
    assert RuntimeModel(known).epoch_s(_complexity(200, 2)) == pytest.approx(24.0)
    assert RuntimeModel(known[:1]).epoch_s(_complexity(100, 1)) == pytest.approx(10.0)


def test_nothing_takes_less_than_nothing() -> None:
    """The small one was measured while the machine did something else."""
    runtime = RuntimeModel([_known(100, 10.0, flops=100), _known(1_000, 11.0, flops=1_000)])
    assert (runtime.epoch_s(_complexity(10, 10)) or 0.0) > 0


def test_on_a_machine_that_has_other_work_the_references_count_for_as_much_slower() -> None:
    runtime = RuntimeModel([_known(100, 10.0, flops=100)])
    runtime.observe(_complexity(100, 100), None, _measurement(1, 15.0))
    assert runtime.epoch_s(_complexity(50, 50)) == pytest.approx(7.5)


def test_a_network_that_is_faster_than_it_seemed_does_not_make_the_references_faster() -> None:
    runtime = RuntimeModel([_known(100, 10.0, flops=100)])
    runtime.observe(_complexity(200, 200), None, _measurement(1, 5.0))
    assert runtime.epoch_s(_complexity(100, 100)) == 5.0
    assert runtime.epoch_s(_complexity(40, 40)) == pytest.approx(4.0)
    assert runtime.epoch_s(_complexity(400, 400)) == 10.0
