"""Images in memory and images left in the cache train the same networks, and a person is told which it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from services import runner
from services.cli import main
from services.data_placement import fitted, shared_out, told_of_gpu
from services.events import Event, Notice
from services.home import Home
from services.placement import Placement
from tests.services.studies import bundle_alone, essences, tiny_config
from tests.trials.digits import digits
from tests.trials.image_trees import write_class
from trials import sources


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
        outcome = runner.search(config, Home(tmp_path / "home"), note, time.time())
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


def test_a_gpu_is_given_what_fits_and_streamed_the_rest() -> None:
    data = digits()
    size = data.train.images.nbytes
    roomy, tight = fitted(data, 4 * size), fitted(data, 4 * size - 4)
    assert (roomy.device_bytes, tight.device_bytes) == (size, size - 1)
    assert told_of_gpu(roomy) == "training images: 80.9 KiB, held on the GPU by each worker"
    assert "streamed to the GPU ahead of need, because that is more than the 80.9 KiB" in str(
        told_of_gpu(tight)
    )


def test_without_a_gpu_nothing_is_shared_out() -> None:
    data = shared_out(digits(), Placement(workers=2))
    assert data is digits()
    assert told_of_gpu(data) is None
