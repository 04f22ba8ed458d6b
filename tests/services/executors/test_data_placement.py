"""Images in memory and images left in the cache train the same networks, and a person is told which it is."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convscout.services.cli import main
from convscout.services.config.home import Home
from convscout.services.events.events import Event, Notice
from convscout.services.executors.data_placement import (
    describe_gpu,
    describe_placement,
    fit_to_gpu,
    share_gpu,
)
from convscout.services.executors.placement import Placement
from convscout.services.studies import run
from convscout.trials.data import sources
from convscout.trials.data.sources import DataRequest, Extent, load
from tests.support.digits import digits
from tests.support.image_trees import write_class
from tests.support.studies import bundle_alone, essences, tiny_config


@pytest.mark.slow
@pytest.mark.timeout(240)
@bundle_alone()
def test_images_left_in_the_file_train_the_same_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("cat", "dog")):
        write_class(tmp_path / "animals" / name, count=50, seed=seed)
    notices: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    settings = dict(data=f"folder:{tmp_path / 'animals'}", space={"lenet.width": 4, "recipe.batch_size": 16})
    studies = {"in-memory": ("in-process", 1.0), "mapped": ("in-process", 0.0), "mapped-ray": ("ray", 0.0)}
    for study, (executor, share) in studies.items():
        monkeypatch.setattr(sources, "MEMORY_SHARE", share)
        config = tiny_config(study, executor=executor, workers=1, **settings)
        outcome = run.search(config, Home(tmp_path / "home"), note, time.time())
        assert outcome.export.exists()
    expected = essences(tmp_path / "home", "in-memory")
    assert len(expected) == 3
    assert essences(tmp_path / "home", "mapped") == expected
    assert essences(tmp_path / "home", "mapped-ray") == expected
    where = [text for text in notices if text.startswith("images:")]
    assert where[0] == "images: 18.8 KiB, in memory"
    assert where[1] == where[2]
    assert where[1].startswith(
        f"images: 18.8 KiB, memory-mapped from {tmp_path / 'home' / 'cache' / 'images'}/"
    )


def test_checking_data_says_where_it_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["datasets", "check", "digits", "--home", str(tmp_path)])
    assert "images: 112 KiB, in memory" in capsys.readouterr().out


def npz_of_halves(path: Path) -> DataRequest:
    """Sixty images of 8 pixels to train on and forty to test on, of which half are to be read as 4 pixels."""
    arrays = {}
    for name, count in (("train", 60), ("test", 40)):
        arrays[f"x_{name}"] = np.zeros((count, 8, 8, 3), dtype=np.uint8)
        arrays[f"y_{name}"] = np.arange(count) % 2
    np.savez(path / "halves.npz", **arrays)
    request = DataRequest(data=f"npz:{path / 'halves.npz'}", seed=0, cache=path)
    return replace(request, choose=lambda available: Extent(share=0.5, image_size=4))


def test_a_part_is_told_with_its_reason(tmp_path: Path) -> None:
    request = npz_of_halves(tmp_path)
    counts, smaller = (
        "reads 30 of 60 training images, 20 of 40 test images",
        "at 4 x 4 instead of 8 x 8 pixels (other sizes with --image-size)",
    )
    assert describe_placement(load(request)) == (
        f"images: 2.34 KiB, in memory; {counts}: the time has no room for more (all with --data-share 1); {smaller}"
    )
    again = replace(request, share=0.5, image_size=4, choose=None)
    assert describe_placement(load(again)) == (
        f"images: 2.34 KiB, in memory; {counts}: a share of 0.5 (all with --data-share 1); {smaller}"
    )


def test_all_images_at_their_own_size_need_no_words(tmp_path: Path) -> None:
    request = replace(npz_of_halves(tmp_path), choose=None)
    assert describe_placement(load(request)) == "images: 18.8 KiB, in memory"


def test_a_gpu_is_given_what_fits_and_streamed_the_rest() -> None:
    data = digits()
    size = data.train.images.nbytes
    roomy, tight = fit_to_gpu(data, 4 * size), fit_to_gpu(data, 4 * size - 4)
    assert (roomy.device_bytes, tight.device_bytes) == (size, size - 1)
    assert describe_gpu(roomy) == "training images: 80.9 KiB, held on the GPU by each worker"
    assert "streamed to the GPU ahead of need, because that is more than the 80.9 KiB" in str(
        describe_gpu(tight)
    )


def test_without_a_gpu_nothing_is_shared_out() -> None:
    data = share_gpu(digits(), Placement(workers=2))
    assert data is digits()
    assert describe_gpu(data) is None
