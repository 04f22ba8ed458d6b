"""The checks of a GPU: what of them needs none works, a part that fails spares the others, Ray and MLflow may lack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import memory
from benchmarks.gpu_checks import PARTS
from benchmarks.graphs import compare_all, farthest, searched, trained
from benchmarks.workloads import synthetic
from convscout.search_space.recipe import TrainingRecipe
from convscout.trials.compute.precision import Precision
from convscout.trials.data.batches import Batches
from tests.support.places import ROOT
from tests.support.rerun import Rerun

CPU = torch.device("cpu")
LACKING = """
import sys
from importlib.machinery import ModuleSpec

LACKS = ("ray", "mlflow", "onnx", "onnxruntime", "matplotlib")

class Lacking:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name.partition(".")[0] in LACKS else None

    def create_module(self, spec):
        raise ModuleNotFoundError(f"{spec.name} lacks here", name=spec.name)

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Lacking())
"""


def without_ray_and_mlflow(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run python where importing them fails; results go to ``tmp_path``."""
    (tmp_path / "sitecustomize.py").write_text(LACKING)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "CONVSCOUT_BENCHMARKS": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_part_imports_ray_or_mlflow(tmp_path: Path) -> None:
    imports = "; ".join(f"import benchmarks.{part.module}" for part in PARTS.values())
    ran = without_ray_and_mlflow(tmp_path, "-c", f"{imports}; print('imported')")
    assert ran.stdout == "imported\n", ran.stderr
    lacking = without_ray_and_mlflow(tmp_path, "-c", "import mlflow.tracking")
    assert "mlflow lacks here" in lacking.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_part_that_fails_spares_the_others(tmp_path: Path) -> None:
    options = ("--parts", "accuracy,search", "--search-time", "ten", "--quick", "--device", "cpu")
    ran = without_ray_and_mlflow(tmp_path, "-m", "benchmarks.gpu_checks", "npz:lacking.npz", *options)
    assert ran.returncode == 1
    found = {each["part"]: each for each in json.loads((tmp_path / "gpu_checks.json").read_text())["results"]}
    assert [found[part]["state"] for part in ("accuracy", "search")] == ["failed", "failed"]
    assert "lacking.npz" in found["accuracy"]["result"]
    assert "must be a duration" in found["search"]["result"]
    assert "| accuracy | failed |" in ran.stdout


def test_families_that_replay_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    [result] = compare_all(["lenet"], CPU, Rerun, images=300)
    assert result["same"] and result["difference"] <= 1e-3
    assert result["images_per_s"]["replayed"] > 0


def test_training_of_another_family_differs() -> None:
    data = synthetic(150)
    recipe = TrainingRecipe.proven_for(data.image, epochs=1, precision="auto", overrides={})
    one, other = (trained(family, data, recipe, CPU, None) for family in ("lenet", "mlp"))
    assert farthest(one, other) > 1e-2


class ScriptedMemory:
    """Tells what a GPU would: 100 bytes are allocated before, 900 at most in a step, 1500 are held after."""

    def __init__(self) -> None:
        self.reserved = [200, 1500]
        self.peak = 10_000  # of choosing kernels

    def memory_allocated(self) -> int:
        return 100

    def reset_peak_memory_stats(self) -> None:
        self.peak = 900

    def max_memory_allocated(self) -> int:
        return self.peak

    def memory_reserved(self) -> int:
        return self.reserved.pop(0)


def test_memory_of_a_candidate_leaves_out_what_was_there_before() -> None:
    data = synthetic(memory.IMAGES)
    training = Batches(data.train, data.normalization, num_classes=10, device=CPU)
    candidate = next(memory.candidates("mlp", data.image))
    precision = Precision(CPU, torch.bfloat16)
    scripted = ScriptedMemory()
    result = memory.compare("mlp", candidate, data.image, training, precision, Rerun, scripted)
    assert (result["real_bytes"], result["held_bytes"]) == (800, 1300), result
    assert memory.shares([result, {"error": "x"}], "real_bytes") == [800 / result["predicted_bytes"]]
    assert "| mlp | 1 |" in memory.table([result])


def test_a_candidate_that_fails_says_why() -> None:
    class Full(ScriptedMemory):
        def reset_peak_memory_stats(self) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory\nmore lines")

    data = synthetic(memory.IMAGES)
    training = Batches(data.train, data.normalization, num_classes=10, device=CPU)
    candidate = next(memory.candidates("mlp", data.image))
    result = memory.compare(
        "mlp", candidate, data.image, training, Precision(CPU, torch.float32), None, Full()
    )
    assert result["error"] == "OutOfMemoryError: CUDA out of memory"
    assert memory.shares([result], "real_bytes") == []
    assert "–" in memory.table([result])


@pytest.mark.parametrize("family", searched())
def test_candidates_of_every_family_can_be_sampled(family: str) -> None:
    first, again = (next(memory.candidates(family, synthetic(1).image)) for _ in range(2))
    assert first == again and first[0].name == family
