"""What `docs/service-api.md` shows works, word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscout.services.server.app import make_app
from convscout.services.system.private_files import TOKEN_VARIABLE
from tests.services.client.test_client import zipped
from tests.support.places import ROOT
from tests.support.service import plane_at, serve_process

PAGE = ROOT / "docs" / "service-api.md"
ADDRESS = "http://127.0.0.1:8765"


def blocks(language: str) -> str:
    """All blocks of a language, as one program."""
    found = re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found
    return "\n".join(found)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_everything_on_the_page_runs(tmp_path: Path) -> None:
    home = tmp_path / "runs"
    Image.fromarray(np.full((8, 8), 100, dtype=np.uint8)).save(tmp_path / "digit.png")
    (tmp_path / "pictures.zip").write_bytes(zipped())
    environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with serve_process(home) as said:
        for program in (
            ["bash", "-euo", "pipefail", "-c", blocks("bash")],
            [sys.executable, "-c", blocks("python")],
        ):
            program[-1] = program[-1].replace(ADDRESS, said["url"])
            done = subprocess.run(
                program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (tmp_path / "model" / "model.onnx").exists()
    assert (tmp_path / "first.zip").stat().st_size and (tmp_path / "second.zip").stat().st_size


def test_the_table_names_every_route(tmp_path: Path) -> None:
    table = PAGE.read_text(encoding="utf-8")
    paths = make_app(plane_at(tmp_path), "0123456789abcdef-token").openapi()["paths"]
    for path in paths:
        if path.startswith("/api/v1/"):
            last = path.rpartition("/")[2] if not path.endswith("}") else "/".join(path.split("/")[-2:])
            assert last in table, path
