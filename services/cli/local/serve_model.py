"""An exported model over HTTP, served on this machine: serve-model."""

from __future__ import annotations

from pathlib import Path

from convscout.services.cli.output import print_line
from convscout.services.http.server import listening, run
from convscout.services.inference.predict import load_model
from convscout.services.model_server.app import make_app
from convscout.services.model_server.limits import FORM_BYTES, Batching, ServingLimits
from convscout.services.system.private_files import read_token


def serve_model(
    directory: Path,
    *,
    host: str,
    port: int,
    token_file: Path | None,
    max_batch: int,
    max_wait_s: float,
    max_bytes: int,
    max_pictures: int,
    queue: int,
    timeout_s: float,
) -> None:
    """Answer pictures with the export in ``directory`` until Ctrl-C."""
    limits = ServingLimits(
        picture_bytes=max_bytes,
        request_bytes=max(ServingLimits.request_bytes, max_bytes + FORM_BYTES),
        pictures=max_pictures,
        queue=queue,
        timeout_s=timeout_s,
    )
    token, model = read_token(token_file), load_model(directory)
    with listening(host, port, token) as (listener, address):
        app = make_app(model, limits, Batching(most=max_batch, wait_s=max_wait_s), token)
        run(app, listener, lambda: print_line(f"listening at {address}  (Ctrl-C ends it)"))
