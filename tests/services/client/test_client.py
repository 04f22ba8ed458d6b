"""The Python client does everything that the REST API offers, through lost answers, cut streams and full queues."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscout
from convscout.search_space.errors import (
    ConfigError,
    ConvscoutError,
    StudyExistsError,
    StudyNotFoundError,
    StudyStateError,
    UnknownNameError,
    UserError,
)
from convscout.services.client import Client
from convscout.services.inference.predict import load_model
from convscout.services.schemas.jobs import JobState
from convscout.services.schemas.study_status import StudyStatus
from tests.support.http_proxy import Fault, FaultyProxy
from tests.support.planes import ENDLESS, TINY
from tests.support.service import TOKEN, serve_process, service_at
from tests.support.tcp_proxy import proxy

DONE = "done"


def until(found: Callable[[], bool], told: Callable[[], object] = str, limit_s: float = 120.0) -> None:
    """Wait until something is so; ``told`` says how it stands instead, should it last too long."""
    give_up = time.monotonic() + limit_s
    while not found():
        assert time.monotonic() < give_up, told()
        time.sleep(0.2)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def zipped(classes: int = 3, images: int = 20) -> bytes:
    """A zip of image folders."""
    noise, file = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(classes * images):
            picture = io.BytesIO()
            Image.fromarray(noise.integers(256, size=(8, 8), dtype=np.uint8)).save(picture, format="PNG")
            archive.writestr(f"class{index % classes}/{index}.png", picture.getvalue())
    return file.getvalue()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "home"


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    """A real service, in a process of its own."""
    with serve_process(home) as said:
        yield said["url"]


@pytest.fixture(scope="module")
def token(url: str, home: Path) -> str:
    return (home / "service" / "token").read_text().strip()


@pytest.fixture(scope="module")
def client(url: str, home: Path) -> Iterator[Client]:
    """A client that finds the token by itself."""
    with convscout.connect(url, home=home) as client:
        yield client


@pytest.fixture
def through(url: str, token: str) -> Iterator[tuple[Client, FaultyProxy]]:
    """A client behind a proxy."""
    with FaultyProxy(port_of(url)) as between, Client(between.url, token) as client:
        yield client, between


@pytest.fixture(scope="module")
def study(client: Client, url: str, token: str) -> str:
    """A study that has ended; the first answer to who began it was lost."""
    with FaultyProxy(port_of(url)) as between, Client(between.url, token) as shaky:
        between.lose_one_answer()
        made = shaky.create({"name": DONE, **TINY, "trials": 3}, priority=2)
        assert between.struck == 1
    assert (made.name, made.priority) == (DONE, 2)
    until(lambda: not client.study(DONE).status.active)
    assert client.study(DONE).status is StudyStatus.FINISHED, client.log(DONE)
    return DONE


def test_a_lost_answer_begins_no_second_study(client: Client, study: str, home: Path) -> None:
    assert [each.name for each in client.studies()] == [study]
    assert len(list((home / "service" / "jobs").glob("*/study.toml"))) == 1
    posts = [each for each in client.audit() if each["target"] == "/api/v1/studies"]
    assert [each["status"] for each in posts] == [201, 201]


def test_studies_and_trials_are_as_the_service_tells_them(client: Client, study: str) -> None:
    seen = client.study(study)
    assert seen.best is not None and seen.trials == {"completed": 3} and seen.outcome is not None
    assert client.studies(status=["running"]) == []
    numbers = [each.number for each in client.trials(study)]
    assert numbers == [0, 1, 2]
    by_score = [each.score or 0.0 for each in client.trials(study, sort="score", descending=True)]
    assert by_score == sorted(by_score, reverse=True) and by_score[0] == seen.best.score
    assert [each.score for each in client.leaderboard(study, 2)] == by_score[:2]
    assert list(client.trials(study, states=["failed"])) == []
    detail = client.trial(study, seen.best.trial)
    assert len(detail.curve) == detail.epoch and detail.settings["recipe.batch_size"] == 256
    assert {curve.trial for curve in client.curves(study)} == {0, 1, 2}
    assert all(0 <= each.share <= 1 for each in client.importances(study))


def test_lists_longer_than_a_page_come_whole(
    client: Client, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscout.services.client.client._PAGE", 2)
    assert [each.number for each in client.trials(study)] == [0, 1, 2]


def test_events_go_on_where_the_connection_was_cut(client: Client, url: str, token: str, study: str) -> None:
    whole = [event for event in client.events(study, follow=False) if event.kind != "status"]
    assert [event.kind for event in whole].count("trial_ended") == 3 and whole[-1].kind == "run_ended"
    assert list(client.events(study, after=whole[4].id, follow=False))[1:] == whole[5:]
    heard = []
    with proxy(port_of(url)) as between, Client(f"http://127.0.0.1:{between.port}", token) as shaky:
        for event in shaky.events(study):
            if event.kind == "status":
                continue
            heard.append(event)
            if len(heard) in (2, 7):
                between.cut()
            if event.kind == "run_ended":
                break
    assert heard == whole


@pytest.mark.slow
def test_an_ensemble_is_selected_exported_fetched_and_asked(
    client: Client, through: tuple[Client, FaultyProxy], study: str, tmp_path: Path
) -> None:
    shaky, between = through
    looks: list[JobState] = []
    selected = client.wait(client.select(study, size=1), lambda job: looks.append(job.state))
    assert len(selected.result["members"]) == 1 and looks[-1] is JobState.DONE
    front = client.wait(client.find_front(study)).result
    assert client.front(study)["front"] == front["front"]
    between.lose_one_answer()
    job = client.wait(shaky.export(study, ["onnx"], size=1))
    assert between.struck == 1
    assert [each.id for each in client.exports(study)] == ["study", job.id]
    told: list[tuple[int, int | None]] = []
    archive = client.download(study, tmp_path / "out" / "model.zip", job.id, lambda *each: told.append(each))
    assert told[-1] == (archive.stat().st_size,) * 2
    assert [each.name for each in archive.parent.iterdir()] == ["model.zip"]
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    picture = tmp_path / "picture.png"
    Image.fromarray(np.full((8, 8), 100, dtype=np.uint8)).save(picture)
    found = client.predict(study, picture, top=3, export=job.id)
    model = load_model(tmp_path / study)
    (expected,) = model.probabilities(np.full((1, 8, 8, 1), 100, dtype=np.uint8))
    assert list(found.values()) == pytest.approx(sorted(expected.tolist(), reverse=True)[:3], abs=1e-5)
    picture.write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="is not a PNG"):
        client.predict(study, picture)


@pytest.mark.slow
def test_a_study_is_told_as_a_story(client: Client, study: str) -> None:
    with pytest.raises(UnknownNameError, match="has not been told yet"):
        client.report(study)
    client.wait(client.make_report(study))
    assert "<html" in client.report(study) and client.report(study, "markdown").startswith("# ")


@pytest.mark.slow
def test_a_study_is_steered_from_its_first_epoch_to_its_deletion(
    client: Client, through: tuple[Client, FaultyProxy]
) -> None:
    endless_trials = {"epochs": 10_000}  # or the one to stop may end before it hears of it
    client.create({"name": "s", **ENDLESS, **endless_trials})
    until(lambda: "enqueue" in client.study("s").actions and bool(client.study("s").running))
    shaky, between = through
    between.lose_one_answer()
    parameters = shaky.enqueue("s", {"family": "lenet", "recipe.label_smoothing": 0.07})
    assert parameters["recipe.label_smoothing"] == 0.07 and between.struck == 1
    running = [_stopped_trial(client), _stopped_trial(client), _stopped_trial(client)]
    smoothings = [client.trial("s", number).settings["recipe.label_smoothing"] for number in running]
    assert smoothings.index(0.07) == 1 and smoothings.count(0.07) == 1  # the lost answer queued no second one
    assert client.retry("s", running[0]).number == running[0]
    client.pause("s")
    until(lambda: client.study("s").status is StudyStatus.PAUSED, lambda: client.study("s"))
    with pytest.raises(StudyStateError, match="is paused: cannot pause"):
        client.pause("s")
    version = client.study("s").version
    client.change("s", {"epochs": 3}, priority=-1, version=version)
    with pytest.raises(StudyStateError, match="somebody else changed it"):
        client.change("s", priority=1, version=version)
    assert client.resume("s").status is StudyStatus.QUEUED
    begun = (StudyStatus.STARTING, StudyStatus.RUNNING)
    until(lambda: client.study("s").status in begun, lambda: client.study("s"))
    client.stop("s")
    until(lambda: not client.study("s").status.active, lambda: client.study("s"))
    between.lose_one_answer()
    assert shaky.delete("s").deleted_until is not None and between.struck == 2
    assert [each.name for each in client.studies(deleted=True)] == ["s"]
    with pytest.raises(StudyNotFoundError):
        client.delete("s")
    assert client.restore("s").name == "s"


def _stopped_trial(client: Client) -> int:
    """The number of the trial that runs, or runs next, when it has stopped."""
    until(lambda: bool(client.study("s").running), lambda: client.study("s"))
    number = client.study("s").running[0].trial
    assert client.stop_trial("s", number).number == number
    until(lambda: client.trial("s", number).state == "stopped", lambda: client.trial("s", number))
    return number


def test_datasets_come_and_go(client: Client, through: tuple[Client, FaultyProxy], tmp_path: Path) -> None:
    file = tmp_path / "noise.zip"
    file.write_bytes(zipped())
    shaky, between = through
    between.lose_one_answer()
    told: list[tuple[int, int | None]] = []
    made = shaky.upload(file, "noise", lambda *each: told.append(each))
    assert (made.num_images, made.kind, between.struck) == (60, "uploaded", 1)
    assert told[-1] == (file.stat().st_size,) * 2
    with pytest.raises(UserError, match="has a dataset 'noise' already"):
        client.upload(file, "noise")
    assert client.dataset("noise") == made and made in client.datasets()
    assert sum(client.check_dataset("noise")["sizes"].values()) == 60
    assert client.preview_dataset("noise").startswith(b"\x89PNG")
    between.lose_one_answer()
    shaky.delete_dataset("noise")
    assert between.struck == 2
    with pytest.raises(UnknownNameError):
        client.delete_dataset("noise")
    with pytest.raises(ConfigError):
        client.upload(file, "../noise")


@pytest.mark.parametrize(
    ("ask", "kind", "told"),
    [
        (lambda client: client.study("nowhere"), StudyNotFoundError, "no study 'nowhere'"),
        (lambda client: client.trial(DONE, 99), UnknownNameError, "has no trial 99"),
        (lambda client: client.create({"name": DONE, **TINY}), StudyExistsError, DONE),
        (lambda client: client.create({"name": "x", "data": "digits", "tiem": "2m"}), ConfigError, "tiem"),
        (lambda client: client.resume(DONE), StudyStateError, "is finished: cannot resume"),
        (lambda client: client.study("../../etc"), UserError, "."),
        (lambda client: client.leaderboard(DONE, 10**9), ConfigError, "limit"),
    ],
)
def test_what_the_service_refuses_is_the_error_that_a_local_study_would_raise(
    client: Client, study: str, ask: Callable[[Client], object], kind: type[ConvscoutError], told: str
) -> None:
    with pytest.raises(kind, match=told) as raised:
        ask(client)
    assert raised.value.exit_code == 2


def test_requests_outlast_a_network_that_fails_half_the_time(url: str, token: str, study: str) -> None:
    with FaultyProxy(port_of(url), seed=0) as between, Client(between.url, token) as shaky:
        for fault in (Fault.RESET, Fault.LOST_ANSWER):
            between.fault, between.share = fault, 0.5
            assert len([shaky.study(study) for _ in range(10)]) == 10
        assert between.struck >= 4
        between.fault, between.share, struck = Fault.RESET, 1.0, between.struck
        with pytest.raises(ConvscoutError, match="no service answers"):
            shaky.pause(study)  # what may have happened is not asked for twice
        assert between.struck == struck + 1
        between.fault = Fault.ERROR
        with pytest.raises(ConvscoutError, match="answers 500"):
            shaky.study(study)


def test_patience_ends(url: str, token: str, study: str) -> None:
    with FaultyProxy(port_of(url)) as between, Client(between.url, token, patience_s=1.0) as shaky:
        shaky.health()
        between.fault, between.share, began = Fault.RESET, 1.0, time.monotonic()
        with pytest.raises(ConvscoutError, match="no service answers"):
            shaky.study(study)
        with pytest.raises(ConvscoutError, match="no service answers"):
            list(shaky.events(study))
        assert time.monotonic() - began < 10 and between.struck > 2


def test_a_busy_service_is_asked_again_when_it_says(tmp_path: Path) -> None:
    with service_at(tmp_path / "home", requests_per_minute=30) as url, Client(url, TOKEN) as client:
        began = time.monotonic()
        for _ in range(31):
            client.studies()
        assert time.monotonic() - began >= 1.0
    with (
        service_at(tmp_path / "other", requests_per_minute=1) as url,
        Client(url, TOKEN, patience_s=1.0) as hasty,
    ):
        hasty.studies()
        with pytest.raises(UserError, match="at most 1 a minute"):
            hasty.studies()


def test_a_service_that_is_not_there_is_not_waited_for() -> None:
    began = time.monotonic()
    with Client("http://127.0.0.1:1", TOKEN) as client, pytest.raises(ConvscoutError) as raised:
        client.studies()
    assert time.monotonic() - began < 5
    assert "no service answers at http://127.0.0.1:1" in str(raised.value)
    assert (raised.value.next_command, raised.value.exit_code) == ("convscout serve", 1)


def test_the_token_comes_from_where_it_is_safe(
    url: str, token: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Client(url) as stranger, pytest.raises(UserError, match="--token-file FILE or the variable"):
        stranger.studies()
    file = tmp_path / "token"
    file.write_text(token)
    with pytest.raises(ConfigError, match="others on this machine can read it"):
        Client(url, token_file=file)
    file.chmod(0o600)
    with Client(url, token_file=file) as known:
        assert token not in repr(known)
        known.studies()  # which raises where the token is refused
    monkeypatch.setenv("CONVSCOUT_TOKEN", token)
    with Client(url) as known:
        known.studies()
    monkeypatch.setenv("CONVSCOUT_TOKEN", "an-other-token-0123456789")
    with Client(url) as wrong, pytest.raises(UserError) as raised:
        wrong.studies()
    assert "an-other-token" not in str(raised.value)


def test_the_homes_own_token_is_for_its_service_alone(home: Path, token: str, tmp_path: Path) -> None:
    """Another program that listens on this machine gets nothing."""
    with (
        service_at(tmp_path / "other") as elsewhere,
        Client(elsewhere, home=home) as client,
        pytest.raises(UserError, match="refuses the token"),
    ):
        client.studies()


@pytest.mark.parametrize("url", ["http://example.org", "http://192.0.2.1:8765"])
def test_a_token_is_not_sent_where_others_can_read_it(url: str) -> None:
    with pytest.raises(ConfigError, match="must begin with https://") as raised:
        Client(url, TOKEN)
    assert TOKEN not in str(raised.value)
    Client(url, TOKEN, insecure=True).close()
    Client(url.replace("http", "https"), TOKEN).close()


@pytest.mark.parametrize("url", ["127.0.0.1:8765", "ftp://example.org", "http://me:secret@example.org", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Client(url, TOKEN)
    assert "secret" not in str(raised.value)


def test_another_server_at_that_address_is_noticed(url: str) -> None:
    with Client(f"{url}/static", TOKEN) as lost, pytest.raises(ConvscoutError):
        lost.studies()
