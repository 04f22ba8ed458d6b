"""Work that is spread over threads comes out as if one had done it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from convscout.search_space.architecture import ImageSpec, families
from convscout.trials.compute.precision import Precision
from convscout.trials.compute.threads import computing_threads, spread_over_threads
from convscout.trials.data.batches import Batches
from convscout.trials.data.splits import LabelledImages, Normalization
from convscout.trials.evaluation.probabilities import probabilities


def test_results_are_in_order_and_each_is_computed_by_one_thread_of_several() -> None:
    together = threading.Barrier(3, timeout=60)  # passed only if three compute at a time

    def compute(item: int) -> tuple[int, int, int]:
        together.wait()
        torch.ones(100, 100) @ torch.ones(100, 100)
        return item, threading.get_ident(), torch.get_num_threads()

    with computing_threads(3):
        found = list(spread_over_threads(compute, range(9)))
        assert torch.get_num_threads() == 3, "the caller has its threads back"
    assert [item for item, *_ in found] == list(range(9))
    assert len({thread for _, thread, _ in found}) == 3 and {count for *_, count in found} == {1}


def test_of_one_thread_the_caller_computes_itself() -> None:
    with computing_threads(1):
        assert set(spread_over_threads(lambda item: threading.get_ident(), range(3))) == {
            threading.get_ident()
        }


def test_an_error_comes_out_and_the_threads_are_given_back() -> None:
    with computing_threads(2):
        with pytest.raises(ZeroDivisionError):
            list(spread_over_threads(lambda item: 1 // item, [2, 1, 0, 1]))
        assert torch.get_num_threads() == 2


def test_a_split_is_answered_alike_by_any_number_of_threads() -> None:
    image = ImageSpec(in_channels=3, image_size=16, num_classes=4)
    pixels = np.random.default_rng(0).integers(0, 256, (700, 16, 16, 3), dtype=np.uint8)
    batches = Batches(
        LabelledImages(images=pixels, labels=np.arange(700) % 4),
        Normalization(mean=(0.5,) * 3, std=(0.3,) * 3),
        num_classes=4,
        device=torch.device("cpu"),
    )
    model = families.get("lenet")().build(image)
    found = []
    for count in (1, 3):
        with computing_threads(count):
            found.append(probabilities(model, batches, Precision(torch.device("cpu"), torch.float32)))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)
    assert not found[1].requires_grad and found[1].shape == (700, 4)
