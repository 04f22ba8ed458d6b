"""A model that is no better than a guess is told to be none."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from convscout.services.config.home import Home
from convscout.services.evaluation.guessing import no_better_than_guessing
from convscout.services.events.events import Event, Notice
from convscout.services.studies import run
from tests.support.studies import bundle_alone, tiny_config

NAMES = ("cat", "dog")
EQUAL, RARE = np.arange(200) % 2, (np.arange(200) % 20 == 0).astype(np.int64)


@pytest.mark.parametrize(
    ("accuracy", "labels", "is_told"),
    [
        (0.5, EQUAL, True),
        (0.55, EQUAL, True),  # which may be chance with 200 images
        (0.65, EQUAL, False),
        (0.95, RARE, True),  # as "cat" alone would be
        (0.99, RARE, False),
    ],
)
def test_it_is_told_where_the_most_frequent_class_does_as_well(
    accuracy: float, labels: np.ndarray, is_told: bool
) -> None:
    told = no_better_than_guessing(accuracy, labels, NAMES)
    assert bool(told) == is_told
    assert not told or ("'cat'" in told and f"{accuracy:.2%}" in told)


@pytest.mark.slow
@bundle_alone()
def test_a_search_on_noise_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (120, 8, 8), dtype=np.uint8), np.arange(120) % 3
    np.savez(tmp_path / "noise.npz", images=images, labels=labels)
    told: list[Event] = []
    config = tiny_config(data=f"npz:{tmp_path / 'noise.npz'}", trials=1, epochs=1)
    run.search(config, Home(tmp_path / "home"), told.append, time.time())
    assert any(
        isinstance(event, Notice) and "no better than always to answer" in event.text for event in told
    )
