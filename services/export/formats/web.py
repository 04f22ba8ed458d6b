"""Web: a static page that classifies a picture in the browser, offline, with onnxruntime-web."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from convscout.search_space.errors import ExportError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.onnx_model import MODEL_FILE
from convscout.services.export.writer import Exporter
from convscout.services.plugins import exporters

FOLDER = "web"
MAX_SIDE = 1024  # pixels that the longer side of a picture is shrunk to in the browser
PACKAGE = "onnxruntime-web@1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
_PATIENCE_S = 600.0  # for 33 MB
_HOW_TO = "Serve this directory and open the address: python -m http.server\n"


@exporters.register("web")
class WebExporter(Exporter):
    """``web/``: ``index.html`` and all that it needs, to be put on any static server, or ``python -m http.server``.

    onnxruntime-web is fetched by npm once, kept in the person's cache, and compared with the hash that is known here.
    """

    needs = ("onnx",)
    default: ClassVar[bool] = False  # its runtime is 14 MB

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        package = _fetch(_cache())
        web = directory / FOLDER
        web.mkdir()
        _unpack(package, web)
        for page in (files("convscout.services.export.templates") / "web").iterdir():
            (web / page.name).write_bytes(page.read_bytes())
        shutil.copyfile(directory / MODEL_FILE, web / MODEL_FILE)
        about = {
            "study": ensemble.study,
            "class_names": ensemble.class_names,
            "in_channels": ensemble.image.in_channels,
            "white": ensemble.white,
            "max_side": MAX_SIDE,
        }
        (web / "model.json").write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")
        (web / "README.txt").write_text(_HOW_TO, encoding="utf-8")


def _cache() -> Path:
    """Where a person's programs keep what they can fetch again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convscout"


def _fetch(cache: Path) -> Path:
    """The package of onnxruntime-web in ``cache``, fetched unless it is there and whole."""
    kept = cache / f"{PACKAGE.replace('@', '-')}.tgz"
    if kept.is_file() and _integrity(kept) == INTEGRITY:
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise ExportError(
            f"the page needs {PACKAGE}, which npm fetches, and there is no npm; install Node.js, or export without web"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache) as fresh:
        _pack(npm, Path(fresh))
        packed = next(Path(fresh).glob("*.tgz"), None)
        if packed is None or _integrity(packed) != INTEGRITY:
            raise ExportError(
                f"what npm fetched as {PACKAGE} is not what it should be: its hash is not {INTEGRITY}; "
                "see which registry npm uses, or export without web"
            )
        packed.replace(kept)
    return kept


def _pack(npm: str, directory: Path) -> None:
    command = [npm, "pack", "--silent", "--ignore-scripts", "--fetch-retries=1", PACKAGE]
    try:
        subprocess.run(
            command, cwd=directory, check=True, capture_output=True, text=True, timeout=_PATIENCE_S
        )
    except subprocess.CalledProcessError as error:
        said = [line for line in (error.stderr or error.stdout).strip().splitlines() if line]
        reason = said[-1] if said else f"exit code {error.returncode}"
    except subprocess.TimeoutExpired:
        reason = f"no answer within {_PATIENCE_S:.0f} s"
    else:
        return
    raise ExportError(
        f"npm cannot fetch {PACKAGE} ({reason}); connect this machine and export again, or export without web"
    )


def _unpack(package: Path, directory: Path) -> None:
    with tarfile.open(package) as archive:
        for name in RUNTIME_FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None, "the package has the hash that is known here"
            (directory / name).write_bytes(member.read())


def _integrity(path: Path) -> str:
    """As npm writes it: the SHA-512 of the file in base 64."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    return f"sha512-{base64.b64encode(digest).decode()}"
