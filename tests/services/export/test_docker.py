"""The server of the Docker directory, run without Docker: it answers as the ensemble does, whatever it is sent."""

from __future__ import annotations

import http.client
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.writer import export
from tests.support.trained_ensembles import random_images, trained_ensemble


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    return trained_ensemble("lenet")


@pytest.fixture(scope="module")
def directory(ensemble: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("docker") / "export"
    export(ensemble, target, random_images(40, ensemble), formats=["onnx", "standalone", "docker"])
    return target


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[http.client.HTTPConnection]:
    """A connection to it, kept open."""
    command = [sys.executable, "server.py", "--port", "0"]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("listening at http://").strip()
        connection = http.client.HTTPConnection(address, timeout=60)
        yield connection
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def ask(connection: http.client.HTTPConnection, path: str, content: bytes | None = None) -> tuple[int, Any]:
    connection.request("GET" if content is None else "POST", path, content)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_it_is_healthy_once_it_listens(server: http.client.HTTPConnection) -> None:
    assert ask(server, "/healthz") == (200, {"status": "ok", "classes": 4})


def test_it_answers_as_the_ensemble_does(
    server: http.client.HTTPConnection, ensemble: TrainedEnsemble
) -> None:
    images = random_images(5, ensemble, seed=3)
    expected = ensemble.build_module().answer(images)
    for pixels, probabilities in zip(images, expected, strict=True):
        status, answer = ask(server, "/predict?top=4", png(pixels))
        assert status == 200
        order = np.argsort(-probabilities, kind="stable")
        assert list(answer["top"]) == [ensemble.class_names[index] for index in order]
        assert list(answer["top"].values()) == pytest.approx(list(probabilities[order]), abs=1e-4)


@pytest.mark.parametrize(
    ("path", "content", "status", "said"),
    [
        ("/predict", b"no picture", 400, "this is no picture that can be read"),
        ("/predict?top=0", b"", 400, "top must be a whole number from 1"),
        ("/predict?top=a", b"", 400, "top must be a whole number from 1"),
        ("/other", b"", 404, "there are POST /predict and GET /healthz"),
        ("/other", None, 404, "there are POST /predict and GET /healthz"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_the_next_is_answered(
    server: http.client.HTTPConnection, path: str, content: bytes | None, status: int, said: str
) -> None:
    refused, answer = ask(server, path, content)
    assert refused == status and said in answer["error"]
    assert ask(server, "/healthz")[0] == 200


def test_what_is_too_large_is_refused_unread(server: http.client.HTTPConnection) -> None:
    server.putrequest("POST", "/predict")
    server.putheader("Content-Length", str(10**12))
    server.endheaders()
    answer = server.getresponse()
    assert answer.status == 413 and b"20 MB at most" in answer.read()
    assert ask(server, "/healthz")[0] == 200


def test_the_image_has_pinned_packages_and_no_root(directory: Path) -> None:
    lines = (directory / "Dockerfile").read_text().splitlines()
    users = [index for index, line in enumerate(lines) if line.startswith("USER ")]
    start = next(index for index, line in enumerate(lines) if line.startswith("CMD "))
    assert users and users[-1] < start and lines[users[-1]] != "USER root"
    pinned = (directory / "requirements.txt").read_text().split()
    assert f"onnxruntime=={version('onnxruntime')}" in pinned and len(pinned) == 3
    copied = next(line for line in lines if line.startswith("COPY model.onnx")).split()[1:-1]
    assert all((directory / name).is_file() for name in copied)
