"""Pace estimates high rather than low, and learns."""

from __future__ import annotations

from search_space.complexity import Complexity
from services.pace import Pace
from trials.config import Measurement


def _complexity(activations: int, flops: int = 1) -> Complexity:
    return Complexity(params=1, flops=flops, activations=activations, peak_train_bytes=1)


def _measurement(epoch: int, elapsed_s: float) -> Measurement:
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
    )


def test_nothing_is_estimated_before_anything_was_seen() -> None:
    assert Pace().epoch_s(_complexity(100)) is None


def test_an_estimate_scales_up_with_cost_and_never_below_what_was_seen() -> None:
    pace = Pace()
    first, second = _measurement(1, 10.0), _measurement(2, 14.0)
    pace.observe(_complexity(100), None, first)
    assert pace.epoch_s(_complexity(100)) == 10.0
    pace.observe(_complexity(100), first, second)
    assert pace.epoch_s(_complexity(100)) == 4.0
    assert pace.epoch_s(_complexity(300)) == 12.0
    assert pace.epoch_s(_complexity(10)) == 4.0


def test_a_wide_network_takes_as_much_longer_as_it_has_multiply_adds() -> None:
    pace = Pace()
    pace.observe(_complexity(100, flops=1_000), None, _measurement(1, 4.0))
    assert pace.epoch_s(_complexity(150, flops=2_000)) == 8.0
    assert pace.epoch_s(_complexity(150, flops=500)) == 6.0


def test_the_nearest_network_seen_decides() -> None:
    pace = Pace()
    pace.observe(_complexity(100), None, _measurement(1, 4.0))
    pace.observe(_complexity(1000), None, _measurement(1, 20.0))
    assert pace.epoch_s(_complexity(1000)) == 20.0
    assert pace.epoch_s(_complexity(2000)) == 40.0


def test_a_clock_that_was_set_back_teaches_nothing() -> None:
    """The trial went on from its first epoch's checkpoint, after its second had taken long."""
    pace = Pace()
    pace.observe(_complexity(100), None, _measurement(1, 10.0))
    pace.observe(_complexity(100), _measurement(2, 40.0), _measurement(3, 30.0))
    assert pace.epoch_s(_complexity(100)) == pace.median_epoch_s == 10.0
