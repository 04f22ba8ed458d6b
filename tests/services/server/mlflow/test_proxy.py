"""MLflow behind the service's address: its real server, and a real browser that goes there and back."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from convscout.services.config.home import Home
from convscout.services.server.mlflow.proxy import BODY_BYTES
from convscout.services.tracking.projector import sync
from convscout.services.tracking.run_links import experiment_link, model_link, run_links
from convscout.services.tracking.store import TrackingStore
from tests.support.mlflow_service import mlflow_service
from tests.support.browsing import needs_browser
from tests.support.recorded_study import VALIDATION, RecordedStudy, recorded_study
from convscout.trials.config import TrialState

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AJAX = "/mlflow/ajax-api/2.0/mlflow"
SCRIPTS = {
    "page.html": "<h1>seen</h1><script>document.title = 'taken'</script>",
    "code.js": "document.title = 'taken'",
}


def mirrored(root: Path) -> RecordedStudy:
    """A study of four trials that MLflow knows, one of them with files that hold scripts."""
    study = recorded_study(root)
    study.train(0, state=TrialState.COMPLETED)
    study.train(1, state=TrialState.COMPLETED)
    study.train(2, epochs=0, state=TrialState.FAILED)
    study.train(3, epochs=1)
    store = TrackingStore.at(study.home)
    sync(study, store, VALIDATION)
    for name, text in SCRIPTS.items():
        store.client().log_text(run_id(study.home, 0), text, name)
    return study


def run_id(home: Home, trial: int | None) -> str:
    return run_links(home.study("demo"))[trial].rsplit("/", 1)[1].partition("?")[0]


def answered(client: httpx.Client, path: str) -> httpx.Response:
    """What is at ``path`` once MLflow has started."""
    deadline = time.monotonic() + 90
    while (answer := client.get(path)).status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.3)
    return answer


def servers(process: int) -> list[psutil.Process]:
    """Everything that runs MLflow for the service."""
    return psutil.Process(process).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all have ended, perhaps not mourned yet, within half a minute."""
    deadline = time.monotonic() + 30
    while (alive := any(map(_lives, processes))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not alive


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def socket_of(processes: list[psutil.Process]) -> Path:
    """Where they listen."""
    words = next(words for each in processes if "--uds" in (words := each.cmdline()))
    return Path(words[words.index("--uds") + 1])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> RecordedStudy:
    return mirrored(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def url(study: RecordedStudy) -> Iterator[str]:
    with mlflow_service(study.home.root) as (url, _):
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        assert answered(client, "/mlflow/").status_code == 200
        yield client


class TestReading:
    def test_the_page_and_its_scripts(self, client: httpx.Client) -> None:
        assert client.get("/mlflow").headers["location"] == "/mlflow/"
        page = client.get("/mlflow/")
        assert "<title>MLflow</title>" in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        script = page.text.partition(' src="')[2].partition('"')[0]
        assert script.startswith("static-files/")
        answer = client.get(f"/mlflow/{script}")
        assert answer.status_code == 200 and "javascript" in answer.headers["content-type"]
        again = client.get(f"/mlflow/{script}", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304 and not again.content

    def test_runs_as_the_page_searches_them(self, client: httpx.Client, study: RecordedStudy) -> None:
        found = client.get(f"{AJAX}/experiments/get-by-name", params={"experiment_name": "demo"}).json()
        asked = {"experiment_ids": [found["experiment"]["experiment_id"]], "max_results": 10}
        runs = client.post(f"{AJAX}/runs/search", json=asked).json()["runs"]
        names = {f"#{number:04d} {record.family}" for number, record in study.records.items()}
        assert {run["info"]["run_name"] for run in runs} == {"demo", *names}

    def test_a_picture_that_no_page_can_run(self, client: httpx.Client, study: RecordedStudy) -> None:
        asked = {"path": "learning_curve.png", "run_uuid": run_id(study.home, 0)}
        answer = client.get("/mlflow/get-artifact", params=asked)
        assert answer.content.startswith(b"\x89PNG") and answer.headers["content-type"] == "image/png"
        assert answer.headers["content-security-policy"].startswith("sandbox")

    @pytest.mark.parametrize("name", SCRIPTS)
    def test_a_script_is_handed_out_as_text(
        self, client: httpx.Client, study: RecordedStudy, name: str
    ) -> None:
        asked = {"path": name, "run_uuid": run_id(study.home, 0)}
        answer = client.get("/mlflow/get-artifact", params=asked)
        assert answer.text == SCRIPTS[name]
        assert answer.headers["content-type"].partition(";")[0] in ("text/plain", "application/octet-stream")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox")

    def test_a_note_may_be_written(self, client: httpx.Client, study: RecordedStudy) -> None:
        tag = {"run_id": run_id(study.home, 3), "key": "mine", "value": "seen"}
        assert client.post(f"{AJAX}/runs/set-tag", json=tag).status_code == 200
        run = client.get(f"{AJAX}/runs/get", params={"run_id": tag["run_id"]}).json()["run"]
        assert {"key": "mine", "value": "seen"} in run["data"]["tags"]


class TestRefusing:
    @pytest.mark.parametrize(
        "method, path",
        [
            ("POST", f"{AJAX}/webhooks"),
            ("GET", f"{AJAX}/webhooks"),
            ("POST", f"{AJAX}/gateway-proxy"),
            ("POST", "/mlflow/ajax-api/3.0/mlflow/gateway/secrets/create"),
            ("POST", "/mlflow/gateway/mlflow/v1/chat/completions"),
            ("POST", "/mlflow/ajax-api/3.0/mlflow/jobs"),
            ("POST", "/mlflow/ajax-api/3.0/mlflow/prompt-optimization/jobs"),
            ("POST", "/mlflow/ajax-api/3.0/mlflow/assistant/message"),
            ("POST", f"{AJAX}/upload-artifact"),
            ("PUT", "/mlflow/ajax-api/2.0/mlflow-artifacts/artifacts/x"),
            ("POST", f"{AJAX}/artifacts/presigned-upload-url"),
            ("POST", f"{AJAX}/users/create"),
            ("POST", f"{AJAX}/runs/create"),
            ("POST", f"{AJAX}/runs/log-batch"),
            ("POST", f"{AJAX}/experiments/create"),
            ("POST", f"{AJAX}/experiments/update"),
            ("POST", f"{AJAX}/model-versions/create"),
            ("DELETE", f"{AJAX}/registered-models/delete"),
            ("POST", "/mlflow/api/2.0/mlflow/runs/create"),
            ("GET", "/mlflow/api/2.0/mlflow/experiments/search"),
            ("POST", "/mlflow/v1/traces"),
            ("GET", "/mlflow/static-files/%2e%2e/%2e%2e/x"),
            ("GET", "/mlflow/static-files//etc/passwd"),
        ],
    )
    def test_what_the_page_of_a_study_does_not_need(
        self, client: httpx.Client, method: str, path: str
    ) -> None:
        answer = client.request(method, path, json={} if method != "GET" else None)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"][0]["field"] == "path"

    def test_a_body_that_is_too_large(self, client: httpx.Client) -> None:
        large = b'"' + b"x" * BODY_BYTES + b'"'
        headers = {"Content-Type": "application/json"}
        assert client.post(f"{AJAX}/runs/search", content=large, headers=headers).status_code == 413

    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    )
    def test_what_a_form_of_another_site_could_send(self, client: httpx.Client, kind: str) -> None:
        headers = {"Content-Type": kind} if kind else {}
        assert client.post(f"{AJAX}/runs/delete", content=b"{}", headers=headers).status_code == 415


def test_mlflow_hears_neither_who_asks_nor_under_which_name(client: httpx.Client) -> None:
    """Its own guard refuses names of hosts and origins that are not its own: here it sees neither of ours."""
    strange = {
        "Host": "studies.example",
        "Origin": "https://studies.example",
        "Cookie": "a=b",
        "Authorization": "Bearer x",
    }
    answer = client.post(f"{AJAX}/experiments/search", json={"max_results": 5}, headers=strange)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


@pytest.mark.slow
def test_no_port_leads_past_the_service(study: RecordedStudy) -> None:
    with mlflow_service(study.home.root) as (url, process), httpx.Client(base_url=url, timeout=60) as client:
        assert answered(client, "/mlflow/").status_code == 200
        assert servers(process.pid)
        for server in servers(process.pid):
            assert not [each for each in server.net_connections("inet") if each.status == psutil.CONN_LISTEN]
            assert "CONVSCOUT_TOKEN" not in server.environ()


@pytest.mark.slow
def test_a_start_is_told_and_a_death_is_mended(study: RecordedStudy) -> None:
    with mlflow_service(study.home.root) as (url, process), httpx.Client(base_url=url, timeout=60) as client:
        first = client.get("/mlflow/")
        assert first.status_code == 503 and "MLflow is starting" in first.text
        assert answered(client, "/mlflow/").status_code == 200
        before = servers(process.pid)
        assert len(before) > 1
        before[-1].kill()
        assert gone(before)
        assert answered(client, f"{AJAX}/experiments/search?max_results=5").status_code == 200
        after = servers(process.pid)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
        assert gone(after)


@pytest.mark.slow
@pytest.mark.parametrize("also", [None, 0])
def test_a_killed_service_leaves_nobody_behind(study: RecordedStudy, also: int | None) -> None:
    """Not even when the process that holds MLflow's leash is killed with it."""
    with (
        pytest.raises(AssertionError),  # it did not end by itself
        mlflow_service(study.home.root) as (url, process),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert answered(client, "/mlflow/").status_code == 200
        left = servers(process.pid)
        socket = socket_of(left)
        assert socket.is_socket() and socket.parent.stat().st_mode & 0o077 == 0
        process.kill()
        if also is not None:
            left[also].kill()
        process.wait()
    assert gone(left)
    if also is None:
        assert not socket.parent.exists()
    else:  # nobody was left to tidy up
        shutil.rmtree(socket.parent)


@needs_browser
class TestBrowsing:
    @pytest.fixture
    def page(self, browser: Browser) -> Iterator[Page]:
        """Its console tells of what is refused, so only errors of its scripts are complaints."""
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        page.close()
        assert not complaints

    def test_from_a_trial_to_its_run_and_back(self, url: str, study: RecordedStudy, page: Page) -> None:
        page.goto(url + run_links(study.home.study("demo"))[0])
        name = f"#0000 {study.records[0].family}"
        page.get_by_role("heading", name=name).wait_for()
        page.get_by_text("val_accuracy", exact=True).first.wait_for()
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Trial 0 of study demo").click()
        assert opened.value.url == f"{url}/studies/demo/trials/0"

    def test_the_table_shows_what_matters_the_best_first(
        self, url: str, study: RecordedStudy, page: Page
    ) -> None:
        page.goto(url + (experiment_link(study.home.study("demo")) or ""))
        page.get_by_role("link", name="#0001").first.wait_for()
        for column in ("score", "family", "complexity.params", "state", "reason"):
            page.get_by_test_id(f"sort-header-{column}").or_(
                page.get_by_role("columnheader", name=column)
            ).first.wait_for(state="attached")
        names = page.get_by_role("link", name="#000").all_inner_texts()
        assert names[0].startswith("#0001")  # the better of the two that have a score
        assert page.get_by_text("Welcome to MLflow Assistant").count() == 0

    def test_html_that_a_run_holds_is_shown_and_not_run(
        self, url: str, study: RecordedStudy, page: Page
    ) -> None:
        page.goto(url + run_links(study.home.study("demo"))[0].replace("?", "/artifacts?"))
        page.get_by_text("page.html", exact=True).click()
        page.frame_locator("iframe").get_by_role("heading", name="seen").wait_for()
        assert [frame.title() for frame in page.frames][1:] == [""]


def test_links_of_what_mlflow_does_not_know(
    study: RecordedStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_links(Home(tmp_path).study("demo")) == {} == run_links(study.home.study("other"))
    assert experiment_link(study.home.study("other")) is None and model_link(study.home.study("demo")) is None
    (tmp_path / "mlflow.db").write_text("no database")
    assert run_links(Home(tmp_path).study("demo")) == {}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5001")
    assert run_links(study.home.study("demo")) == {}
