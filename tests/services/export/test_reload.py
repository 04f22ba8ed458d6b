"""What a format answers in a fresh process: by its own runtime, and with a reason when it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from convscout.search_space.errors import ConvscoutError
from convscout.services.export.reload import Predictor, Reloaded
from convscout.trials.data.splits import Pixels
from tests.support.places import ROOT

BATCHES = [np.full((count, size, 3, 1), size, np.uint8) for count, size in ((1, 4), (2, 9))]
START_AND_DIE = """
import os
from pathlib import Path
from convscout.services.export.reload import Reloaded
print(Reloaded("tests.services.export.test_reload:mean", Path())._process.pid, flush=True)
os._exit(137)
"""


def mean(directory: Path) -> Predictor:
    """Prints, as runtimes do, and knows in which directory it was."""
    print("a runtime that talks")

    def answer(images: Pixels) -> np.ndarray:
        return np.full((len(images), 2), images.mean() + len(directory.name), np.float32)

    return answer


def refuse(directory: Path) -> Predictor:
    raise ValueError(f"no format\nin {directory.name}")


def crash(directory: Path) -> Predictor:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def _reader(function: str) -> str:
    return f"{__name__}:{function}"


def test_it_answers_batches_of_any_shape(tmp_path: Path) -> None:
    with Reloaded(_reader("mean"), tmp_path / "four") as reloaded:
        answers = reloaded.answers(BATCHES)
    np.testing.assert_array_equal(answers, [[8, 8], [13, 13], [13, 13]])


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ("refuse", "cannot be read back: ValueError: no format in four"),
        ("crash", "its runtime was ended by SIGSEGV"),
        ("absent", "AttributeError: .* has no attribute 'absent'"),
    ],
)
def test_a_format_that_cannot_be_read_back_says_why(tmp_path: Path, reader: str, said: str) -> None:
    with Reloaded(_reader(reader), tmp_path / "four") as reloaded, pytest.raises(ConvscoutError, match=said):
        reloaded.answers(BATCHES)


def test_it_ends_when_it_is_not_needed_any_more(tmp_path: Path) -> None:
    with Reloaded(_reader("mean"), tmp_path) as reloaded:
        process = reloaded._process
        assert process.poll() is None
    assert process.poll() is not None


def test_it_ends_with_whoever_asked(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", START_AND_DIE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert died.returncode == 137
    pid = int(died.stdout)
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.05)


def test_what_reads_onnx_knows_no_torch() -> None:
    program = (
        "import sys, convscout.services.export.reload, convscout.services.export.onnx_model; "
        "assert not {'torch', 'pandas', 'mlflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
