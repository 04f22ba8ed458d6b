"""Pages as the service sends them: complete without a script, and forms that lose nothing."""

from __future__ import annotations

import html
import re
from pathlib import Path

import httpx
import pytest

from convscout.search_space.errors import NoModelError
from convscout.services.config.home import Home
from convscout.services.control.jobs import JobKind, Jobs
from convscout.services.events.event_log import record_events
from convscout.services.events.wording import sentence
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.outcome import load_outcome
from tests.support.signed_in import DONE, EVERY_PAGE, LARGE, LARGE_TRIALS
from tests.support.studies import quiet, tiny_config


def text(answer: httpx.Response) -> str:
    """What a page says, without its elements."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_a_page_is_whole_and_runs_nothing_of_its_own(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.text.count("<h1") == 1 and "<title>" in answer.text
    # the policy would refuse them: scripts and styles within the page, and handlers in attributes
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", answer.text)
    for form in re.findall(r'<form method="post".*?</form>', answer.text, re.DOTALL):
        assert re.search(r'name="csrf" value="[0-9a-f]{64}"', form)


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_whatever_a_page_loads_or_leads_to_is_there(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    for found in set(re.findall(r'(?:src|href)="(/[^"#]*)"', answer.text)):
        elsewhere = found.startswith(("/mlflow/", "/studies/", "/api/"))
        if elsewhere or (found.endswith("/look") and "digits" not in found):  # others would be fetched
            continue
        assert client.get(html.unescape(found)).status_code == 200, found


def test_static_files_are_asked_for_again_and_not_sent_twice(client: httpx.Client) -> None:
    first = client.get("/static/vendor/chart.js/chart.umd.min.js")
    assert first.status_code == 200 and "cache-control" in first.headers
    again = client.get(first.url.path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


def test_what_was_killed_is_offered_to_be_resumed(client: httpx.Client) -> None:
    shown = client.get("/").text
    assert "was interrupted" in shown
    assert f'action="/studies/{LARGE}/resume"' in shown


def test_a_study_without_a_model_says_why_and_can_be_resumed(tmp_path: Path) -> None:
    from tests.support import service

    home, why = Home(tmp_path / "home"), "no model: all 3 trials failed: 3 × the loss became nan"
    Ledger.create(home, tiny_config("s"), fingerprint="f" * 64)
    with pytest.raises(NoModelError), record_events(home.study("s"), quiet, "search"):
        raise NoModelError(why)
    with service.service_at(home.root) as address, service.signed_in(address) as client:
        for path in ("/", "/studies/s"):
            shown = client.get(path).text
            assert '<span class="badge no_model">no model</span>' in shown and why in shown
        assert 'action="/studies/s/resume"' in shown
        found = client.get("/api/v1/studies", params={"status": "no_model"}).json()["items"]
        assert [(each["name"], each["message"]) for each in found] == [("s", why)]


def test_an_empty_home_explains_the_five_steps(tmp_path: Path) -> None:
    from tests.support import service

    with service.service_at(tmp_path / "home") as address, service.signed_in(address) as client:
        shown = client.get("/").text
        assert shown.count("<li><strong>") == 5 and 'href="/new"' in shown


def test_a_study_tells_how_it_stands(client: httpx.Client) -> None:
    shown = text(client.get(f"/studies/{DONE}"))
    assert f"{DONE} finished" in shown and "4 completed" in shown
    assert "trained all its epochs" in shown and "convscout search --study done" in shown


def test_scores_of_what_was_chosen_are_told_with_their_corrections(client: httpx.Client, home: Path) -> None:
    outcome = load_outcome(Ledger.open(Home(home).study(DONE)))
    assert outcome is not None and outcome.winner is not None
    for path in (f"/studies/{DONE}", f"/studies/{DONE}/ensemble"):
        shown = text(client.get(path))
        assert outcome.corrections and all(sentence(each) in shown for each in outcome.corrections)
    answered = client.get(f"/api/v1/studies/{DONE}").json()["outcome"]
    assert answered["winner"]["score"]["value"] == outcome.winner.score.value


def test_trials_are_filtered_sorted_and_paged(client: httpx.Client, home: Path) -> None:
    records = Ledger.open(Home(home).study(LARGE)).trials()
    best = max(records, key=lambda each: each.utility)
    page = client.get(f"/studies/{LARGE}/trials", params={"order": "score", "descending": "yes"})
    assert re.findall(r'<th scope="row"><a href="[^"]*/trials/(\d+)"', page.text)[0] == str(best.number)
    assert f"{LARGE_TRIALS} trials, 1 to 50" in text(page)
    last = client.get(f"/studies/{LARGE}/trials", params={"page": 99})
    assert f"101 to {LARGE_TRIALS}" in text(last) and "Page 3 of 3" in text(last)
    stopped = client.get(f"/studies/{LARGE}/trials", params={"state": "stopped", "family": ""})
    assert f"{sum(str(each.state) == 'stopped' for each in records)} trials" in text(stopped)
    following = html.unescape(re.findall(r'rel="next" href="([^"]+)"', page.text)[0])
    assert "51 to 100" in text(client.get(f"/studies/{LARGE}/trials{following}"))


def test_a_trial_tells_its_settings_and_what_it_confuses(client: httpx.Client) -> None:
    shown = text(client.get(f"/studies/{DONE}/trials/0"))
    assert "filters of the first convolution" in shown and "Optimizer" in shown
    answers = text(client.get(f"/studies/{DONE}/trials/0/answers"))
    assert (
        "What the network is made of" in answers and "Confusion" not in answers.partition("Class by class")[0]
    )
    assert "On 143 validation images" in answers and "True class 0 1 2 3 4 5 6 7 8 9" in answers


def test_images_that_are_gone_are_told(client: httpx.Client) -> None:
    shown = client.get(f"/studies/{LARGE}/trials/0/answers")
    assert shown.status_code == 200 and "images cannot be read" in text(shown)


@pytest.mark.parametrize(
    "path", ["/studies/nobody", "/studies/nobody/trials", f"/studies/{DONE}/trials/999", "/datasets/no/look"]
)
def test_what_does_not_exist_is_told_to_people(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404 and "To the studies" in answer.text


def test_errors_of_the_form_keep_what_was_typed(client: httpx.Client) -> None:
    typed = {
        "name": "my study",
        "data": "digits",
        "time_s": "soon",
        "max_params": "1.5M",
        "families": ["nin"],
    }
    answer = client.post("/new", data=typed)
    assert answer.status_code == 422
    for kept in ('value="my study"', 'value="soon"', 'value="1.5M"', 'value="nin" checked'):
        assert kept in answer.text, kept
    assert 'id="wrong-name"' in answer.text and 'id="wrong-time_s"' in answer.text
    assert 'aria-describedby="help-name wrong-name" aria-invalid="true"' in answer.text


def test_a_name_that_is_taken_is_told_at_the_name(client: httpx.Client) -> None:
    answer = client.post("/new", data={"name": DONE, "data": "digits", "trials": "1"})
    assert answer.status_code == 422 and 'id="wrong-name"' in answer.text


def test_the_form_is_checked_while_it_is_filled_in(client: httpx.Client) -> None:
    said = client.post(
        "/new/check", data={"name": "new", "data": "digits", "trials": "7", "portfolio": "yes"}
    )
    assert said.json()["errors"] == {}
    assert said.json()["command"] == "convscout search --study new --data digits --trials 7"
    assert "trials = 7" in said.json()["toml"]
    wrong = client.post(
        "/new/check", data={"name": DONE, "data": "digits", "trials": "many", "priority": "x"}
    )
    assert set(wrong.json()["errors"]) == {"trials", "priority"}
    taken = client.post("/new/check", data={"name": DONE, "data": "digits"})
    assert set(taken.json()["errors"]) == {"name"}


def test_a_study_can_be_filled_in_like_another(client: httpx.Client) -> None:
    shown = client.get("/new", params={"like": DONE}).text
    assert f'value="{DONE}-1"' in shown and "recipe.batch_size" in shown


def test_an_enqueued_trial_that_cannot_be_keeps_what_was_typed(client: httpx.Client) -> None:
    path = f"/studies/{DONE}/enqueue"
    answer = client.post(path, data={"family": "lenet", "knobs": "lenet.width = 5000"})
    assert answer.status_code == 422
    assert "lenet.width = 5000</textarea>" in answer.text and 'id="wrong-enqueue"' in answer.text


def test_a_trial_is_enqueued(client: httpx.Client, home: Path) -> None:
    answer = client.post(f"/studies/{DONE}/enqueue", data={"family": "lenet", "knobs": "lenet.width = 8"})
    assert answer.status_code == 303 and answer.headers["location"] == f"/studies/{DONE}?said=enqueued"
    assert "Your trial is the next" in client.get(answer.headers["location"]).text
    assert Ledger.open(Home(home).study(DONE)).queued


@pytest.mark.parametrize("action", ["pause", "stop"])
def test_what_cannot_be_done_now_is_told(client: httpx.Client, action: str) -> None:
    answer = client.post(f"/studies/{DONE}/{action}")
    assert answer.status_code == 409 and "possible now" in text(answer)


def test_extending_by_nothing_is_told(client: httpx.Client) -> None:
    answer = client.post(f"/studies/{DONE}/extend", data={"time": "", "trials": ""})
    assert answer.status_code == 422 and "how much more" in text(answer)


def test_a_said_text_is_one_of_ours(client: httpx.Client) -> None:
    assert "evil" not in client.get("/", params={"said": "evil"}).text


def test_exports_that_cannot_be_are_told_and_kept(client: httpx.Client, home: Path) -> None:
    answer = client.post(f"/studies/{DONE}/ensemble/exports", data={"max_params": "few", "formats": "onnx"})
    assert (
        answer.status_code == 422 and 'value="few"' in answer.text and 'value="onnx" checked' in answer.text
    )
    assert not [job for job in Jobs(Home(home)).of(DONE) if job.kind is JobKind.EXPORT]
