"""The service as tests ask it: the real application over real sockets, and the real command as a process."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import httpx
from starlette.types import ASGIApp

from convscout.services.config.home import Home
from convscout.services.control.plane import ControlPlane
from convscout.services.control.settings import ServiceSettings
from convscout.services.http.server import listening, make_server
from convscout.services.server.app import make_app

TOKEN = "0123456789abcdef-token-of-tests"


def plane_at(root: Path, **settings: object) -> ControlPlane:
    """The plane of a home at ``root``."""
    return ControlPlane(Home.at(root), ServiceSettings(**settings))  # type: ignore[arg-type]


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The address, ``http://127.0.0.1:PORT``, of ``app`` in a thread of this process."""
    ready = threading.Event()
    server = make_server(app, ready.set)
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment] # pytest keeps its own
    with listening("127.0.0.1", 0, "") as (listener, address):
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            assert ready.wait(60)
            yield address
        finally:
            server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()


@contextmanager
def service_at(root: Path, token: str = TOKEN, **settings: object) -> Iterator[str]:
    """The address of the service over a home at ``root``, as ``make_app`` makes it."""
    with served(make_app(plane_at(root, **settings), token)) as address:
        yield address


@contextmanager
def program(address: str, token: str = TOKEN) -> Iterator[httpx.Client]:
    """A client that sends the token."""
    said = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address, timeout=60, headers=said) as client:
        yield client


@contextmanager
def signed_in(address: str, token: str = TOKEN) -> Iterator[httpx.Client]:
    """A client that signed in as a browser does, and sends what pages hold with whatever changes something."""
    said = {"Accept": "text/html", "Origin": address}
    with httpx.Client(base_url=address, timeout=60, headers=said) as client:
        assert client.post("/sign-in", data={"token": token}).status_code == 303
        client.headers["X-CSRF-Token"] = csrf(client)
        yield client


def csrf(client: httpx.Client) -> str:
    """What a page of this session holds; any page does, also one that says that there is nothing."""
    found = re.search(r'<meta name="csrf" content="([0-9a-f]{64})">', client.get("/no-such-page").text)
    assert found
    return found[1]


@contextmanager
def serve_process(
    home: Path,
    *options: object,
    end: signal.Signals = signal.SIGTERM,
    python: Path = Path(sys.executable),
) -> Iterator[dict[str, str]]:
    """What ``convscout serve --json`` says as a process of its own; it must end with 0, silently, when it is asked to.

    ``out`` and ``err`` name the files that hold all it said.
    """
    out, err = home.with_name("serve.out"), home.with_name("serve.err")
    arguments = [
        str(python),
        "-m",
        "convscout",
        "serve",
        "--home",
        str(home),
        "--port",
        "0",
        "--json",
        *map(str, options),
    ]
    with (
        out.open("w") as to_out,
        err.open("w") as to_err,
        subprocess.Popen(arguments, stdout=to_out, stderr=to_err) as process,
    ):
        try:
            while not out.read_text().endswith("\n") and process.poll() is None:
                threading.Event().wait(0.05)
            assert process.poll() is None, err.read_text()
            yield json.loads(out.read_text()) | {"out": str(out), "err": str(err)}
            process.send_signal(end)
            assert process.wait(timeout=120) == 0
            assert err.read_text() == ""
        finally:
            process.kill()
