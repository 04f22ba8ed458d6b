"""Serve the model.onnx beside this script: python server.py [--host HOST] [--port PORT]

    curl --data-binary @photo.jpg http://127.0.0.1:8080/predict?top=3

POST /predict takes the bytes of one PNG, JPEG, WebP or BMP file and answers {"top": {class: probability}}; GET /healthz
answers {"status": "ok"} once the model is loaded. Needs onnxruntime, numpy and pillow, and predict.py beside it.
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import onnxruntime
from predict import NETWORK_FORMATS, Wanted, read_pixels

MAX_BYTES = 20_000_000  # of a picture; a larger one is refused unread


class Model:
    """The network and what it needs to know of its images."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.class_names = json.loads(metadata["class_names"])
        self._wanted = Wanted.by(metadata)

    def top(self, content: bytes, count: int) -> dict[str, float]:
        """The most probable classes of one picture; raises what Pillow does for what is none."""
        pixels = read_pixels(io.BytesIO(content), self._wanted, NETWORK_FORMATS)
        (probabilities,) = self._session.run(["probabilities"], {"images": pixels[np.newaxis]})  # (1, K)
        best = np.argsort(-probabilities[0], kind="stable")[:count]
        return {self.class_names[index]: float(probabilities[0, index]) for index in best}


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON, errors too."""

    model: Model
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds without a byte, after which a connection is given up

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/healthz":
            self._answer(200, {"status": "ok", "classes": len(self.model.class_names)})
        else:
            self._answer(404, {"error": "there are POST /predict and GET /healthz"})

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/predict":
            self._answer(404, {"error": "there are POST /predict and GET /healthz"})
            return
        asked, length = parse_qs(url.query).get("top", ["3"])[0], self.headers.get("Content-Length", "")
        if not asked.isdecimal() or int(asked) < 1:
            self._answer(400, {"error": f"top must be a whole number from 1, but is {asked!r}"})
        elif not length.isdecimal():
            self._answer(411, {"error": "send the picture with its Content-Length"})
        elif int(length) > MAX_BYTES:
            self._answer(413, {"error": f"a picture may have {MAX_BYTES / 1e6:g} MB at most"})
        else:
            self._predict(self.rfile.read(int(length)), int(asked))

    def _predict(self, content: bytes, count: int) -> None:
        try:
            top = self.model.top(content, count)
        except Exception as error:  # Pillow's decoders raise anything on a damaged file
            self._answer(400, {"error": f"this is no picture that can be read: {error}"})
        else:
            self._answer(200, {"top": top})

    def _answer(self, status: int, value: dict[str, object]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status >= 400:  # what was not read would be taken for the next request
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(content)


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve model.onnx over HTTP.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: this machine alone)"
    )
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: 8080)")
    arguments = parser.parse_args()
    Handler.model = Model(Path(__file__).with_name("model.onnx"))
    try:
        server = ThreadingHTTPServer((arguments.host, arguments.port), Handler)
    except OSError as error:
        print(f"cannot listen at {arguments.host}:{arguments.port}: {error.strerror}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening at http://{arguments.host}:{server.server_port}", flush=True)
    server.serve_forever()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
