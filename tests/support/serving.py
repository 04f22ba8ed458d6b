"""The model server in a process of its own, for tests that talk to it."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families


@contextmanager
def model_server(export: Path, *options: object, end: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """Its address, ``http://127.0.0.1:PORT``. It must end with 0 and without a word when it is asked to."""
    arguments = [
        sys.executable,
        "-m",
        "convscout",
        "serve-model",
        str(export),
        "--port",
        "0",
        *map(str, options),
    ]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            said = process.stdout.readline()
            assert said.startswith("listening at http://"), process.stderr.read()
            yield said.split()[2]
            process.send_signal(end)
            assert process.wait(timeout=60) == 0
            complaints = process.stderr.read()
            assert complaints == ""
        finally:
            process.kill()


def png(pixels: np.ndarray) -> bytes:
    """The file of an image (H, W, C)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def samples(text: str) -> dict[str, float]:
    """What Prometheus reads: the value of each series without its help, by name and labels."""
    return {
        sample.name + "".join(f"|{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
