"""Datasets over HTTP: uploads stream to the disk within limits, and every answer is what OpenAPI says it is."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from convscout.services.config.home import Home
from convscout.services.http.problems import MEDIA_TYPE
from convscout.services.server.api import multipart as uploading
from convscout.trials.data.sources import DataRequest, load
from tests.support.packing import digits_npz, digits_zip, listing
from tests.support.service import program, service_at

PREFIX = "/api/v1/datasets"
ZIP = {"Content-Type": "application/zip"}
EMPTY = [".incoming"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def client(home: Home) -> Iterator[httpx.Client]:
    with serving(home, upload_bytes=2_000_000, uploads_bytes=3_000_000) as client:
        yield client


@contextmanager
def serving(home: Home, **settings: int) -> Iterator[httpx.Client]:
    """A client of a service over ``home``."""
    with service_at(home.root, **settings) as address, program(address) as client:
        yield client


def post(client: httpx.Client, content: bytes, name: str = "mine", **more: Any) -> httpx.Response:
    return client.post(PREFIX, data={"name": name}, files={"file": ("x", content)}, **more)


def problem(answer: httpx.Response, status: int, field: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    [error] = answer.json()["errors"]
    assert error["field"] == field
    return str(error["rule"])


def test_an_uploaded_form_becomes_a_dataset(client: httpx.Client, home: Home) -> None:
    answer = post(client, digits_zip())
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{PREFIX}/mine"
    view = answer.json()
    assert view["classes"] == ["one", "two", "zero"] and view["kind"] == "uploaded"
    assert client.get(answer.headers["Location"]).json() == view
    assert view in client.get(PREFIX).json()["items"]
    assert len(load(DataRequest(data=view["data"], seed=0, cache=home.cache)).train) > 20


@pytest.mark.parametrize("kind", uploading.BODIES)
def test_a_body_becomes_a_dataset(client: httpx.Client, kind: str) -> None:
    answer = client.post(
        PREFIX, params={"name": "mine"}, content=digits_npz(), headers={"Content-Type": f"{kind}; q=1"}
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["num_images"] == 1797


def test_the_file_may_come_before_the_name(client: httpx.Client) -> None:
    files = [("file", ("a.zip", digits_zip())), ("csrf", (None, "x" * 40)), ("name", (None, "mine"))]
    assert client.post(PREFIX, files=files).status_code == 201


def test_looking_at_a_dataset(client: httpx.Client) -> None:
    post(client, digits_zip())
    report = client.get(f"{PREFIX}/mine/check").json()
    assert report["sizes"] == {"train": 27, "validation": 3, "test": 6} and report["balance"] == 1
    picture = client.get(f"{PREFIX}/mine/preview")
    assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")
    assert client.get(f"{PREFIX}/digits/check").json()["class_counts"]["train"].keys() == set("0123456789")


def test_deleting_a_dataset(client: httpx.Client) -> None:
    post(client, digits_zip())
    assert client.delete(f"{PREFIX}/mine").status_code == 204
    for method, path in (("GET", ""), ("GET", "/check"), ("GET", "/preview"), ("DELETE", "")):
        problem(client.request(method, f"{PREFIX}/mine{path}"), 404, "name")
    problem(client.delete(f"{PREFIX}/digits"), 409, "name")


def test_bad_requests(client: httpx.Client, home: Home) -> None:
    content = digits_zip()
    assert "multipart" in problem(client.post(PREFIX, content=b"{}"), 415, "Content-Type")
    problem(client.post(PREFIX, json={"name": "mine"}), 415, "Content-Type")
    problem(client.post(PREFIX, content=content, headers=ZIP), 422, "name")
    problem(client.post(PREFIX, params={"name": "../x"}, content=content, headers=ZIP), 422, "name")
    problem(client.post(PREFIX, files={"file": content}), 422, "name")
    problem(post(client, content, name="a b"), 422, "name")
    problem(client.post(PREFIX, files={"name": (None, "mine")}), 422, "file")
    twice = [("name", (None, "mine")), ("file", ("a", content)), ("file", ("b", content))]
    problem(client.post(PREFIX, files=twice), 422, "file")
    problem(post(client, b"hello"), 422, "file")
    form = {"Content-Type": "multipart/form-data"}
    problem(client.post(PREFIX, content=content, headers=form), 400, "body")
    form["Content-Type"] += "; boundary=abc"
    for body in (b"", content, b'--abc\r\nContent-Disposition: form-data; name="file"\r\n\r\nPK'):
        problem(client.post(PREFIX, content=body, headers=form), 400, "body")
    long = {"name": (None, "mine"), "other": (None, "x" * 100_000), "file": ("a", content)}
    problem(client.post(PREFIX, files=long), 400, "body")
    assert listing(home.root / "datasets") == EMPTY


def test_a_taken_name_is_refused(client: httpx.Client) -> None:
    post(client, digits_zip())
    problem(post(client, digits_zip()), 409, "name")
    problem(post(client, digits_zip(), "digits"), 409, "name")


def test_what_is_too_large_is_refused(client: httpx.Client, home: Home) -> None:
    problem(post(client, bytes(2_100_000)), 413, "file")
    problem(client.post(PREFIX, params={"name": "a"}, content=bytes(2_000_001), headers=ZIP), 413, "file")

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(100_000)

    problem(client.post(PREFIX, params={"name": "a"}, content=endless(), headers=ZIP), 413, "file")
    assert listing(home.root / "datasets") == EMPTY


def test_openapi_tells_every_answer(client: httpx.Client) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    operations = [each for path, item in paths.items() if path.startswith(PREFIX) for each in item.values()]
    assert len(operations) == 6
    for operation in operations:
        assert operation["summary"] and operation["description"]
    assert {"408", "409", "413", "415", "422", "503", "507"} <= paths[PREFIX]["post"]["responses"].keys()


def test_a_stranger_uploads_nothing(client: httpx.Client, home: Home) -> None:
    del client.headers["Authorization"]
    assert post(client, digits_zip()).status_code == 401
    assert client.get(PREFIX).status_code == 401
    assert not (home.root / "datasets").exists()


# clients that leave, or stay for long


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begun(client: httpx.Client) -> socket.socket:
    """An upload that goes on to come."""
    host, port = client.base_url.host, client.base_url.port
    assert port is not None
    connection = socket.create_connection((host, port))
    head = (
        f"POST {PREFIX}?name=slow HTTP/1.1",
        f"Host: {host}:{port}",
        f"Authorization: {client.headers['Authorization']}",
        "Content-Type: application/zip",
        "Content-Length: 10000000",
    )
    connection.sendall("\r\n".join((*head, "", "")).encode() + bytes(200_000))
    return connection


def received(home: Home) -> list[int]:
    sizes = []
    for file in (home.root / "datasets/.incoming").glob("*/sent"):
        with suppress(FileNotFoundError):  # it has just been removed
            sizes.append(file.stat().st_size)
    return sizes


def test_a_client_that_leaves_leaves_nothing(home: Home) -> None:
    with serving(home) as client:
        leaving = begun(client)
        until(lambda: received(home) != [])
        leaving.close()
        until(lambda: listing(home.root / "datasets") == EMPTY)


def test_a_client_that_falls_silent_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "SILENCE_S", 0.3)
    with serving(home) as client, begun(client) as slow:
        answer = slow.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408") and b"connection: close" in answer.lower()
        until(lambda: listing(home.root / "datasets") == EMPTY)


def test_a_third_upload_has_to_wait(home: Home) -> None:
    with serving(home) as client:
        waiting = [begun(client) for _ in range(2)]
        until(lambda: len(received(home)) == 2)
        answer = post(client, digits_zip())
        problem(answer, 503, "uploads")
        assert int(answer.headers["Retry-After"]) > 0
        for each in waiting:
            each.close()
        until(lambda: received(home) == [])
        assert post(client, digits_zip()).status_code == 201


def test_a_large_upload_is_not_held_in_memory(home: Home) -> None:
    megabytes = 300

    def chunks() -> Iterator[bytes]:
        yield b"PK\x03\x04"
        for _ in range(megabytes):
            grown.append(psutil.Process().memory_info().rss - before)
            yield bytes(2**20)

    grown: list[int] = []
    with serving(home) as client:
        before = psutil.Process().memory_info().rss
        answer = client.post(PREFIX, params={"name": "big"}, content=chunks(), headers=ZIP)
        assert "damaged" in problem(answer, 422, "file")
    assert max(grown) < 100 * 2**20
    assert listing(home.root / "datasets") == EMPTY
