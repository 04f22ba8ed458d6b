"""The ONNX file answers as the trained networks do where there is nothing but onnxruntime and numpy."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from convscout.services.export.parity import NUM_IMAGES, TOLERANCE, questions
from convscout.services.export.reload import ask
from convscout.services.export.writer import export
from tests.support.places import ROOT
from tests.support.trained_ensembles import random_images, trained_ensemble

CONSTRAINTS = ROOT / "constraints.txt"
PROGRAM = """
import importlib.util, sys
import numpy, onnxruntime
assert not any(map(importlib.util.find_spec, ("torch", "services", "PIL", "onnx")))
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
batches = numpy.load("batches.npz")
answers = [session.run(["probabilities"], {"images": batches[name]})[0] for name in batches.files]
numpy.save("answers.npy", numpy.concatenate(answers))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_fresh_environment_answers_alike(tmp_path: Path) -> None:
    ensemble = trained_ensemble("lenet", "resnet", "vgg")
    images = random_images(NUM_IMAGES, ensemble)
    export(ensemble, tmp_path / "export", images)
    batches = questions(images)
    np.savez(tmp_path / "batches.npz", *batches)
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = ["pip", "install", "--quiet", "--constraint", str(CONSTRAINTS), "onnxruntime", "numpy"]
    subprocess.run([python, "-m", *install], check=True, timeout=400)
    model = tmp_path / "export" / "model.onnx"
    # isolated: no directory of this project is on its path
    subprocess.run([python, "-I", "-c", PROGRAM, str(model)], cwd=tmp_path, check=True, timeout=100)
    answers = np.load(tmp_path / "answers.npy")
    np.testing.assert_allclose(answers, ask(ensemble.build_module().answer, batches), atol=TOLERANCE)
