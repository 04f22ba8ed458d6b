"""Docker: what it takes to serve the ensemble from a small image: onnxruntime, no torch, no root."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.writer import Exporter
from convscout.services.plugins import exporters

SERVER_FILE, DOCKER_FILE, REQUIREMENTS_FILE = "server.py", "Dockerfile", "requirements.txt"
PACKAGES = ("numpy", "onnxruntime", "pillow")


@exporters.register("docker")
class DockerExporter(Exporter):
    """``Dockerfile``, ``server.py`` and ``requirements.txt`` with the versions that were checked."""

    needs = ("onnx", "standalone")
    default: ClassVar[bool] = False

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        for name in (SERVER_FILE, DOCKER_FILE):
            (directory / name).write_bytes((files("convscout.services.export.templates") / name).read_bytes())
        pinned = "".join(f"{package}=={version(package)}\n" for package in PACKAGES)
        (directory / REQUIREMENTS_FILE).write_text(pinned, encoding="utf-8")
