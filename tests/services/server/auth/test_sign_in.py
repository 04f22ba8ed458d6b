"""Signing in and out: who gets a session, how long it lasts, and where it leads."""

from __future__ import annotations

import time
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from itsdangerous import TimestampSigner

from convscout.services.server.auth.login_throttle import FREE, LONGEST_WAIT_S, Attempts
from convscout.services.server.auth.sessions import LASTS_S
from convscout.services.server.pages.routes.sign_in import local
from tests.support.service import TOKEN, csrf, program, serve_process, service_at, signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


def cookie_of(answer: httpx.Response) -> Morsel[str]:
    """The cookie that ``answer`` sets."""
    [morsel] = SimpleCookie(answer.headers["set-cookie"]).values()
    return morsel


def test_the_token_begins_a_session_that_only_this_site_and_no_script_can_use(stranger: httpx.Client) -> None:
    page = stranger.get("/sign-in?next=/studies/a%3Fb=1")
    assert page.status_code == 200 and 'name="next" value="/studies/a?b=1"' in page.text
    answer = stranger.post("/sign-in", data={"token": f" {TOKEN}\n", "next": "/studies/a?b=1"})
    assert answer.status_code == 303 and answer.headers["location"] == "/studies/a?b=1"
    cookie = cookie_of(answer)
    assert cookie["httponly"] and cookie["samesite"] == "strict" and cookie["path"] == "/"
    assert cookie["max-age"] == str(LASTS_S) and not cookie["secure"] and not cookie["domain"]
    assert TOKEN not in cookie.value
    assert stranger.get("/api/v1/audit").status_code == 200


def test_behind_https_the_cookie_never_goes_over_http(stranger: httpx.Client) -> None:
    proxied = {"X-Forwarded-Proto": "https"}
    assert cookie_of(stranger.post("/sign-in", data={"token": TOKEN}, headers=proxied))["secure"]


@pytest.mark.parametrize(
    "form", [{"token": "wrong"}, {"token": TOKEN[:-1]}, {"token": ""}, {}, {"token": "日本"}]
)
def test_a_wrong_token_begins_none(tmp_path: Path, form: dict[str, str]) -> None:
    with service_at(tmp_path / "home") as address, httpx.Client(base_url=address) as client:
        answer = client.post("/sign-in", data=form)
        assert answer.status_code == 401 and "set-cookie" not in answer.headers
        assert "not the token" in answer.text and answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/api/v1/audit").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "evil",
        "",
        "/a\r\nb: c",
        "/\t/evil.example",
        "/sign-in",
    ],
)
def test_it_leads_to_no_other_site(stranger: httpx.Client, path: str) -> None:
    assert local(path) == "/"
    assert 'name="next" value="/"' in stranger.get(f"/sign-in?next={quote(path, safe='')}").text
    answer = stranger.post("/sign-in", data={"token": TOKEN, "next": path})
    assert answer.status_code == 303 and answer.headers["location"] == "/"


def test_who_did_not_sign_in_is_led_there_and_back(stranger: httpx.Client) -> None:
    asked = "/studies/my%20study?sort=value&cursor=a%2Bb"
    answer = stranger.get(asked)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/sign-in?next={quote(asked, safe='')}"
    page = stranger.get(answer.headers["location"])
    assert 'value="/studies/my%20study?sort=value&amp;cursor=a%2Bb"' in page.text
    assert stranger.post("/studies").headers["location"] == "/sign-in"
    by_script = stranger.get("/studies", headers={"Sec-Fetch-Mode": "cors"})
    assert by_script.status_code == 401


def test_a_session_outlives_the_service_and_dies_with_the_token(tmp_path: Path) -> None:
    with service_at(tmp_path / "home") as address, signed_in(address) as client:
        cookies = dict(client.cookies)
    for token, status in [(TOKEN, 200), (f"{TOKEN}2", 401)]:
        with service_at(tmp_path / "home", token=token) as address:
            assert httpx.get(f"{address}/api/v1/audit", cookies=cookies).status_code == status


def test_signing_out_ends_it_for_copies_of_the_cookie_too_and_for_good(tmp_path: Path) -> None:
    with service_at(tmp_path / "home") as address, signed_in(address) as client, signed_in(address) as other:
        cookies = dict(client.cookies)
        left = client.post("/sign-out", headers={"X-CSRF-Token": ""}, data={"csrf": csrf(client)})
        assert left.status_code == 303 and left.headers["location"] == "/sign-in" and not client.cookies
        assert httpx.get(f"{address}/api/v1/audit", cookies=cookies).status_code == 401
        assert other.get("/api/v1/audit").status_code == 200
        again = httpx.post(f"{address}/sign-out", cookies=cookies)
        assert again.status_code == 303
    with service_at(tmp_path / "home") as address:
        assert httpx.get(f"{address}/api/v1/audit", cookies=cookies).status_code == 401


def test_a_session_ends_after_twelve_hours(
    browser_client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(seconds: float) -> int:
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: int(time.time() + seconds))
        return browser_client.get("/api/v1/audit").status_code

    assert [later(LASTS_S - 60), later(LASTS_S + 60), later(-86_400)] == [200, 401, 401]


def test_a_cookie_cannot_be_made_up(browser_client: httpx.Client, address: str) -> None:
    [(name, value)] = browser_client.cookies.items()
    identity, stamp, signature = value.rsplit(".", 2)
    forged = [
        identity,
        f"{identity}.{stamp}.",
        f"x{identity}.{stamp}.{signature}",
        f"{identity}.{stamp}x.{signature}",
        f"{identity}.{stamp}.{signature[:-2]}AA",
        "",
        '"',
        "\\",
        "\xff.\xff.\xff",
    ]
    for value in forged:
        answer = httpx.get(f"{address}/api/v1/audit", headers={"Cookie": f"{name}={value}".encode("latin-1")})
        assert answer.status_code == 401, value


def test_cookies_of_other_services_do_no_harm(browser_client: httpx.Client, address: str) -> None:
    [(name, value)] = browser_client.cookies.items()
    for others in ('theirs={"a": [1, 2]}', "ä=ö", "a", '"', f"{name}x=1"):
        said = {"Cookie": f"{others}; {name}={value}; more={others}".encode()}
        assert httpx.get(f"{address}/api/v1/audit", headers=said).status_code == 200


def test_guessing_takes_longer_and_longer_while_sessions_go_on(tmp_path: Path) -> None:
    with (
        service_at(tmp_path / "home") as address,
        signed_in(address) as session,
        program(address) as right,
    ):
        with httpx.Client(base_url=address) as guesser:
            said = [
                guesser.post("/sign-in", data={"token": f"guess {i}"}).status_code for i in range(FREE + 2)
            ]
            assert said == [401] * (FREE + 1) + [429]
            waiting = guesser.post("/sign-in", data={"token": TOKEN})  # even the right one is not looked at
            assert waiting.status_code == 429 and int(waiting.headers["retry-after"]) >= 1
            by_header = guesser.get("/api/v1/audit", headers={"Authorization": "Bearer guess"})
            assert by_header.status_code == 429 and by_header.json()["errors"][0]["field"] == "token"
        assert session.get("/api/v1/audit").status_code == 200
        time.sleep(1.1)
        rows = right.get("/api/v1/audit").json()["items"]
        refused = [row for row in rows if row["status"] == 401]
        assert len(refused) == FREE + 1  # those that were looked at, and no more
        assert {row["actor"] for row in refused} == {"nobody"} and {row["target"] for row in refused} == {
            "/sign-in"
        }


def test_guessing_by_header_counts_too_but_an_old_token_sent_again_does_not(tmp_path: Path) -> None:
    with service_at(tmp_path / "home") as address, program(address, "an old token, still in use") as old:
        assert {old.get("/api/v1/metrics").status_code for _ in range(3 * FREE)} == {401}
        with program(address) as right:
            [row] = right.get("/api/v1/audit").json()["items"]
            assert row["route"] == "wrong token" and row["target"] == "/api/v1/metrics"
        guesses = ({"Authorization": f"Bearer guess {i}"} for i in range(FREE + 2))
        said = [httpx.get(f"{address}/api/v1/audit", headers=guess).status_code for guess in guesses]
        assert said == [401] * (FREE + 1) + [429]


class Clock:
    """Time that passes when a test says so."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_the_wait_doubles_is_bounded_and_is_forgotten() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    waits = []
    for _ in range(FREE + 10):
        attempts.failed("a")
        waits.append(attempts.wait_s("a"))
        clock.now_s += waits[-1]
    assert waits == [0] * FREE + [1, 2, 4, 8, 16, 32] + [LONGEST_WAIT_S] * 4
    clock.now_s += 601
    attempts.failed("a")
    assert attempts.wait_s("a") == 0
    for _ in range(FREE):
        attempts.failed("a")
    assert attempts.wait_s("a") > 0
    attempts.succeeded("a")
    assert attempts.wait_s("a") == 0


def test_many_clients_together_have_to_wait_but_one_that_was_right_does_not() -> None:
    attempts = Attempts(Clock())
    attempts.succeeded("known")
    for number in range(60_000):
        attempts.failed(f"client {number}")
    assert attempts.wait_s("new") == LONGEST_WAIT_S and attempts.wait_s("known") == 0
    assert len(attempts._clients) <= 10_001


@pytest.mark.slow
def test_the_printed_link_signs_in_and_the_token_leaves_no_trace_in_the_address(
    tmp_path: Path, page: Page
) -> None:
    with serve_process(tmp_path / "home") as said:
        seen: list[str] = []
        page.on("request", lambda request: seen.append(f"{request.url} {request.headers.get('referer', '')}"))
        page.route("**/favicon.ico", lambda route: route.fulfill(status=204))  # wanted by a page of JSON
        page.goto(said["sign_in"].replace("/sign-in#", "/sign-in?next=/api/v1/audit#"))
        page.wait_for_url("**/api/v1/audit")
        token = said["sign_in"].partition("#token=")[2]
        assert '"items"' in page.content() and token not in page.url and not any(token in url for url in seen)
        assert page.evaluate("document.cookie") == ""  # scripts do not see the session's
        page.goto(f"{said['url']}/sign-in")
        page.go_back()
        page.go_back()
        assert token not in page.url
