"""The model server, asked over HTTP: it answers as the ensemble does, in batches, and whatever it is sent."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.writer import export
from convscout.services.model_server.batcher import Batcher
from convscout.services.model_server.limits import Batching
from convscout.trials.data.splits import Pixels
from convscout.trials.evaluation.metrics import Probabilities
from tests.services.cli.test_study import Captured, run
from tests.support.packing import png_header
from tests.support.reading_back import read_back_here
from tests.support.serving import model_server, png, samples
from tests.support.trained_ensembles import random_images, trained_ensemble

TOKEN = "a token of sixteen characters and more"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def ensemble() -> TrainedEnsemble:
    return trained_ensemble("lenet")


@pytest.fixture(scope="module")
def directory(ensemble: TrainedEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("served") / "export"
    with read_back_here():
        export(ensemble, target, random_images(16, ensemble), formats=["onnx"])
    return target


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[httpx.Client]:
    """A client of a server that is patient in gathering, so that what comes together goes together."""
    limits = httpx.Limits(max_connections=100)
    with (
        model_server(directory, "--max-wait", 200, "--max-batch", 16, "--timeout", 100) as address,
        httpx.Client(base_url=address, timeout=100, limits=limits) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def strict(directory: Path) -> Iterator[httpx.Client]:
    """A client of a server that takes little."""
    options = ("--max-bytes", 20_000, "--max-pictures", 3, "--queue", 4, "--timeout", 100)
    with (
        model_server(directory, *options) as address,
        httpx.Client(base_url=address, timeout=100) as client,
    ):
        yield client


def problem_of(answer: httpx.Response, status: int, field: str) -> str:
    """The rule that ``answer`` says was broken."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    said = answer.json()
    assert said["status"] == status and said["type"] == "about:blank" and said["title"]
    [error] = said["errors"]
    assert error["field"] == field and error["rule"] in said["detail"] and "value" in error
    return str(error["rule"])


def expected_top(ensemble: TrainedEnsemble, images: Pixels, count: int) -> list[dict[str, float]]:
    answers = ensemble.build_module().answer(images)
    return [
        {
            ensemble.class_names[index]: float(answer[index])
            for index in np.argsort(-answer, kind="stable")[:count]
        }
        for answer in answers
    ]


def assert_alike(top: dict[str, float], expected: dict[str, float]) -> None:
    assert list(top) == list(expected) and top == pytest.approx(expected, abs=1e-4)


def counted(client: httpx.Client) -> dict[str, float]:
    return samples(client.get("/metrics").text)


# answers


def test_a_picture_is_answered_as_the_ensemble_does(server: httpx.Client, ensemble: TrainedEnsemble) -> None:
    [pixels] = random_images(1, ensemble, seed=3)
    [expected] = expected_top(ensemble, pixels[np.newaxis], 4)
    answer = server.post("/predict?top=4", content=png(pixels))
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert_alike(answer.json()["top"], expected)
    as_form = server.post("/predict?top=4", files={"any": ("a.png", png(pixels))})
    assert as_form.json() == answer.json()
    assert len(server.post("/predict", content=png(pixels)).json()["top"]) == 3


def test_several_are_answered_in_order_and_a_bad_one_harms_only_itself(
    server: httpx.Client, ensemble: TrainedEnsemble
) -> None:
    images = random_images(4, ensemble, seed=4)
    files = [("f", (f"{index}.png", png(pixels))) for index, pixels in enumerate(images)]
    files[1:1] = [("f", ("bad.png", png(images[0])[:200])), ("f", ("empty.png", b""))]
    before = counted(server)
    found = server.post("/predict/batch?top=2", files=files).json()["predictions"]
    assert [each["name"] for each in found] == ["0.png", "bad.png", "empty.png", "1.png", "2.png", "3.png"]
    answered = [each["top"] for each in found if "top" in each]
    for top, expected in zip(answered, expected_top(ensemble, images, 2), strict=True):
        assert_alike(top, expected)
    assert "cannot be decoded" in found[1]["problem"]["detail"] and found[1]["problem"]["status"] == 422
    assert found[2]["problem"]["errors"][0]["value"] == "0 bytes"
    after = counted(server)
    assert after["convscout_batch_size_sum"] - before["convscout_batch_size_sum"] == 4
    assert after["convscout_batch_size_count"] - before["convscout_batch_size_count"] == 1


def test_a_hundred_at_once_are_each_answered_rightly_and_in_batches(
    server: httpx.Client, ensemble: TrainedEnsemble
) -> None:
    images = random_images(100, ensemble, seed=5)
    together = threading.Barrier(100)

    def ask(pixels: Pixels) -> httpx.Response:
        together.wait()
        return server.post("/predict?top=4", content=png(pixels))

    before = counted(server)
    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(ask, images))
    assert {answer.status_code for answer in answers} == {200}
    for answer, expected in zip(answers, expected_top(ensemble, images, 4), strict=True):
        assert_alike(answer.json()["top"], expected)
    after = counted(server)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["convscout_requests_total|/predict|200"] == 100
    assert grown["convscout_request_seconds_count|/predict"] == 100
    assert grown["convscout_batch_size_sum"] == 100
    assert 100 / 16 <= grown["convscout_batch_size_count"] <= 50
    assert after["convscout_queue_length"] == 0


def test_a_picture_of_another_size_and_colours_is_fitted_as_in_training(
    server: httpx.Client, ensemble: TrainedEnsemble, directory: Path, tmp_path: Path
) -> None:
    from convscout.services.inference.predict import predict

    Image.effect_noise((90, 40), 80).save(tmp_path / "wide.jpg")
    [expected] = predict(directory, [str(tmp_path / "wide.jpg")], top=4)
    answer = server.post("/predict?top=4", content=(tmp_path / "wide.jpg").read_bytes())
    assert_alike(answer.json()["top"], {each.class_name: each.probability for each in expected.top})


def test_it_tells_what_it_knows(server: httpx.Client, ensemble: TrainedEnsemble) -> None:
    assert server.get("/healthz").json() == {"status": "ok", "classes": 4}
    about = server.get("/").json()
    assert about["classes"] == list(ensemble.class_names) and "POST /predict/batch" in about["routes"]
    html = server.get("/", headers={"Accept": "text/html,*/*"})
    assert "&lt;img onerror&gt;" in html.text and "<img" not in html.text
    assert "default-src 'none'" in html.headers["content-security-policy"]
    described = server.get("/openapi.json").json()
    routes = {
        f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods
    }
    assert routes == set(about["routes"]) - {"GET /openapi.json"}
    assert server.get("/docs").status_code == 404


# what is not answered


@pytest.mark.parametrize(
    ("asked", "status", "field", "rule"),
    [
        (("POST", "/predict", b"no picture"), 422, "picture", "is not a PNG, JPEG, WebP or BMP image"),
        (("POST", "/predict", b""), 422, "picture", "must be the bytes of a PNG"),
        (("POST", "/predict?top=0", b"x"), 422, "query.top", "greater than or equal to 1"),
        (("POST", "/predict?top=many", b"x"), 422, "query.top", "valid integer"),
        (("POST", "/predict/batch", b"x"), 415, "Content-Type", "must be multipart/form-data"),
        (("GET", "/predict", b""), 405, "route", "POST /predict"),
        (("GET", "/../secret", b""), 404, "route", "must be one of"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_that_names_the_rule(
    server: httpx.Client, asked: tuple[str, str, bytes], status: int, field: str, rule: str
) -> None:
    method, path, content = asked
    assert rule in problem_of(server.request(method, path, content=content), status, field)


def test_forms_that_are_none_are_refused(server: httpx.Client) -> None:
    form = {"Content-Type": "multipart/form-data"}
    bounded = {"Content-Type": "multipart/form-data; boundary=b"}
    for path in ("/predict", "/predict/batch"):
        assert problem_of(server.post(path, content=b"x", headers=form), 400, "body")
        assert problem_of(server.post(path, content=b"garbage", headers=bounded), 400, "body")
        empty = server.post(path, data={"a": "1"}, files=[("f", (None, b"1"))])
        assert "file" in problem_of(empty, 400, "files")
    two = [("f", ("a", b"1")), ("f", ("b", b"2"))]
    assert "/predict/batch" in problem_of(server.post("/predict", files=two), 400, "files")


def test_an_image_bomb_is_refused_by_its_header(server: httpx.Client) -> None:
    answer = server.post("/predict", content=png_header(8000, 8000))
    assert "more than 150 MB" in problem_of(answer, 422, "picture")


def test_what_arrives_is_decoded_by_few_decoders(server: httpx.Client) -> None:
    Image.new("L", (8, 8)).save(content := io.BytesIO(), "TIFF")
    answer = server.post("/predict", content=content.getvalue())
    assert "is not a PNG, JPEG, WebP or BMP image" in problem_of(answer, 422, "picture")


def test_bytes_that_are_no_http_close_the_connection(server: httpx.Client) -> None:
    with connected(server) as connection:
        connection.sendall(os.urandom(200) + b"\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    assert server.get("/healzth").status_code == 404
    assert server.get("/healthz").status_code == 200


def connected(client: httpx.Client) -> socket.socket:
    address = urlsplit(str(client.base_url))
    return socket.create_connection((address.hostname, address.port), timeout=100)


def test_answers_on_one_connection_come_whole_and_in_order(server: httpx.Client) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    lost = b"GET /lost HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(
            asked + lost + asked.replace(b"localhost\r\n", b"localhost\r\nConnection: close\r\n")
        )
        heard = b"".join(iter(lambda: connection.recv(65_536), b""))  # until the server closes
    assert [part[:4] for part in heard.split(b"HTTP/1.1 ")] == [b"", b"200 ", b"404 ", b"200 "]
    assert heard.endswith(server.get("/healthz").content)


def test_more_bytes_than_allowed_are_refused_unread(strict: httpx.Client) -> None:
    address = urlsplit(str(strict.base_url))
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=100)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and answer.getheader("Connection") == "close"
    assert json.loads(answer.read())["errors"][0]["value"] == f"{10**12} bytes"
    connection.close()


def test_more_bytes_than_were_said_are_refused_while_they_come(strict: httpx.Client) -> None:
    answer = strict.post(
        "/predict", content=iter([b"x" * 15_000, b"x" * 15_000])
    )  # chunked, of no said length
    assert "0.02 MB at most" in problem_of(answer, 413, "picture")
    answer = strict.post("/predict", files={"f": ("large.png", b"x" * 25_000)})
    assert "0.02 MB at most" in problem_of(answer, 413, "picture")
    [item] = strict.post("/predict/batch", files={"f": ("large.png", b"x" * 25_000)}).json()["predictions"]
    assert item["problem"]["status"] == 413


@pytest.mark.parametrize("count", [4, 40])
def test_more_pictures_than_allowed_are_refused(strict: httpx.Client, count: int) -> None:
    files = [("f", (f"{index}.png", b"x")) for index in range(count)]
    rule = problem_of(strict.post("/predict/batch", files=files), 413, "files")
    assert rule == "must be 3 at most; send the others in another request"


def test_a_full_queue_tells_to_come_back_and_empties_when_clients_leave(
    strict: httpx.Client, ensemble: TrainedEnsemble
) -> None:
    half = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500
    slow = [connected(strict) for _ in range(4)]
    for connection in slow:
        connection.sendall(half)
    wait_for_queue(strict, 4)
    picture = png(random_images(1, ensemble)[0])
    answer = strict.post("/predict", content=picture)
    assert answer.headers["retry-after"] == "1"
    assert "holds 4 pictures at most" in problem_of(answer, 503, "queue")
    for connection in slow:
        connection.close()
    wait_for_queue(strict, 0)
    assert strict.post("/predict", content=picture).status_code == 200
    assert counted(strict)["convscout_requests_total|/predict|gone"] == 4


def wait_for_queue(client: httpx.Client, length: int) -> None:
    while counted(client)["convscout_queue_length"] != length:
        time.sleep(0.05)


def test_a_slow_client_is_given_up_and_a_token_is_asked_for(
    directory: Path, ensemble: TrainedEnsemble, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)
    options = ("--host", "0.0.0.0", "--token-file", tmp_path / "token", "--timeout", 1)
    with model_server(directory, *options, end=signal.SIGINT) as address:
        address = address.replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(base_url=address, timeout=100) as client:
            assert client.get("/healthz").status_code == 200
            for said in ({}, {"Authorization": "Bearer no"}, {"Authorization": f"Basic {TOKEN}"}):
                answer = client.get("/metrics", headers=said)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert "Bearer" in problem_of(answer, 401, "Authorization") and TOKEN not in answer.text
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            assert client.get("/metrics").status_code == 200
            with connected(client) as slow:
                head = f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
                slow.sendall(f"{head}Content-Length: 10\r\n\r\nhalf".encode())
                answer_bytes = b"".join(iter(lambda: slow.recv(4096), b""))  # until the server closes
            assert answer_bytes.startswith(b"HTTP/1.1 408") and b"must arrive within 1 s" in answer_bytes
            unfinished = connected(client)  # is no reason to stay when the end is asked for
            unfinished.sendall(head.encode())
    unfinished.close()


# the start


@pytest.mark.parametrize(
    ("options", "notify"),
    [
        (["--host", "0.0.0.0"], "host: others can reach it, so it needs a token"),
        (["--host", "::"], "host: others can reach it, so it needs a token"),
        (["--host", "no.such.host.invalid"], "host: must be the name or the address of this machine"),
        (["--host", "0.0.0.0", "--token-file", "nowhere"], "token-file: cannot be read: No such file"),
        (["--host", "0.0.0.0", "--token-file", "short"], "token-file: must hold at least 16"),
        (
            ["--token-file", "shown"],
            "token-file: others on this machine can read it (mode 0644): run chmod 600",
        ),
        (["--max-bytes", "much"], "max-bytes: must be"),
        (["--port", "70000"], "--port"),
        (["--timeout", "nan"], "timeout"),
    ],
)
def test_it_does_not_start_unless_all_is_well(
    directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    options: list[str],
    notify: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("short", "secret"), ("shown", f"secret {TOKEN}")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "shown" else 0o600)
    assert run("serve-model", directory, *options) == 2
    captured = capsys.readouterr()
    assert notify in captured.err and "secret" not in captured.err and captured.out == ""


def test_a_port_that_is_taken_and_an_export_that_is_none_are_told(
    directory: Path, tmp_path: Path, capsys: Captured
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("serve-model", directory, "--port", port) == 2
    assert f"cannot listen at port {port} of 127.0.0.1: Address already in use" in capsys.readouterr().err
    assert run("serve-model", tmp_path) == 2
    assert "is not an export" in capsys.readouterr().err


# batching, by itself


class Network:
    """Says which batches it was asked, and waits to be let on."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.go = threading.Event()

    def __call__(self, images: Pixels) -> Probabilities:
        self.sizes.append(len(images))
        assert self.go.wait(60)
        if images.max() == 13:
            raise RuntimeError("a bad day")
        return images.reshape(len(images), -1)[:, :1].astype(np.float32)


def test_pictures_gather_while_the_network_is_busy() -> None:
    network = Network()
    notify: list[int] = []

    async def ask() -> list[float]:
        batcher = Batcher(network, Batching(most=4, wait_s=0), expected=lambda: 8, notify=notify.append)
        running = asyncio.create_task(batcher.run())
        asked = [asyncio.create_task(batcher.answer(picture(0)))]
        while not network.sizes:  # it is a thread that says so
            await asyncio.sleep(0.01)
        asked += [asyncio.create_task(batcher.answer(picture(value))) for value in range(1, 8)]
        await asyncio.sleep(0)
        asked[3].cancel()  # a client that left
        network.go.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        running.cancel()
        return [float(each[0]) for each in answers if not isinstance(each, BaseException)]

    assert asyncio.run(ask()) == [0, 1, 2, 4, 5, 6, 7]
    assert network.sizes == notify == [1, 3, 3]


def test_a_picture_waits_only_for_those_that_are_on_their_way() -> None:
    network = Network()
    network.go.set()
    expected = 1

    async def ask() -> None:
        nonlocal expected
        batching = Batching(most=4, wait_s=1000)
        batcher = Batcher(network, batching, expected=lambda: expected, notify=print)
        running = asyncio.create_task(batcher.run())
        await batcher.answer(picture(1))
        expected = 2
        first = asyncio.create_task(batcher.answer(picture(2)))
        await asyncio.sleep(0.05)
        await batcher.answer(picture(3))
        assert first.done()
        running.cancel()

    asyncio.run(ask())
    assert network.sizes == [1, 2]


def test_a_failure_is_told_to_those_it_hit_and_the_next_are_answered() -> None:
    network = Network()
    network.go.set()

    async def ask() -> None:
        batcher = Batcher(network, Batching(most=2, wait_s=0), expected=lambda: 1, notify=print)
        running = asyncio.create_task(batcher.run())
        with pytest.raises(RuntimeError, match="a bad day"):
            await batcher.answer(picture(13))
        assert await batcher.answer(picture(5)) == [5]
        running.cancel()

    asyncio.run(ask())


def picture(value: int) -> Pixels:
    return np.full((2, 2, 1), value, dtype=np.uint8)
