"""``convscout serve`` as a process: one service a home, its token, and that no secret is written anywhere."""

from __future__ import annotations

import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest

from convscout.search_space.errors import ConfigError, UserError
from convscout.services.cli.local.serve import _alone, _say
from convscout.services.config.home import Home
from convscout.services.server.auth.token import service_token
from convscout.services.system.private_files import TOKEN_VARIABLE, private_directory, read_token
from tests.services.cli.test_study import Captured, run
from tests.support.service import TOKEN, serve_process, signed_in


def mode(path: Path) -> int:
    """What who may do with ``path``."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("end", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_it_serves_a_browser_and_writes_no_secret(tmp_path: Path, end: signal.Signals) -> None:
    home = tmp_path / "home"
    (home / "service").mkdir(parents=True, mode=0o755)
    with serve_process(home, end=end) as said:
        assert mode(home / "service") == 0o700
        assert mode(home / "service" / "token") == mode(home / "service" / "service.db") == 0o600
        token = (home / "service" / "token").read_text().strip()
        assert len(token) == 64 and said["sign_in"] == f"{said['url']}/sign-in#token={token}"
        with signed_in(said["url"], token) as client:
            [cookie] = client.cookies.values()
            client.get("/no-such-page")
            client.post("/sign-out", data={"token": token})
        httpx.post(f"{said['url']}/sign-in", data={"token": f"{token}x"})
        refused = httpx.get(f"{said['url']}/api/v1/audit", headers={"Authorization": f"Bearer {token}x"})
        assert refused.status_code == 401 and token not in refused.text
        metrics = httpx.get(f"{said['url']}/api/v1/metrics", headers={"Authorization": f"Bearer {token}"})
        assert token not in metrics.text and cookie not in metrics.text
    written = [path for path in home.rglob("*") if path.is_file() and path.name != "token"]
    assert {path.name for path in written} >= {"service.db", "service.lock"}
    for path in [*written, Path(said["err"])]:
        content = path.read_bytes()
        assert token.encode() not in content and cookie.encode() not in content, path
    assert Path(said["out"]).read_text().count("\n") == 1  # the link that was asked for, and nothing after it


def test_a_token_is_made_once(tmp_path: Path) -> None:
    first = service_token(private_directory(tmp_path / "service"), None)
    assert first == service_token(tmp_path / "service", None) and not first.chosen
    assert [path.name for path in (tmp_path / "service").iterdir()] == ["token"]


def test_a_person_may_choose_it_and_other_processes_do_not_inherit_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert service_token(tmp_path, None) == (TOKEN, TOKEN_VARIABLE, True)
    assert read_token(None) == "" and not list(tmp_path.iterdir())
    file = tmp_path / "chosen"
    file.write_text(f"{TOKEN}-of-file\n")
    file.chmod(0o600)
    assert service_token(tmp_path, file) == (f"{TOKEN}-of-file", str(file), True)


@pytest.mark.parametrize("allowed", [0o644, 0o640, 0o604, 0o620])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, allowed: int) -> None:
    file = tmp_path / "the token"
    file.write_text(TOKEN)
    file.chmod(allowed)
    with pytest.raises(ConfigError, match=r"chmod 600 '.*the token'") as raised:
        read_token(file)
    assert TOKEN not in str(raised.value)


def test_without_a_terminal_the_link_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    link = "http://127.0.0.1:1/sign-in#token=secret"
    _say("http://127.0.0.1:1", link, "FILE", json=False)
    assert capsys.readouterr().out.splitlines()[1] == "sign in with the token of FILE"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _say("http://127.0.0.1:1", link, "FILE", json=False)
    assert capsys.readouterr().out.splitlines()[1] == f"sign in: {link}"


@pytest.mark.slow
def test_a_home_has_one_service_which_a_second_one_names(tmp_path: Path, capsys: Captured) -> None:
    with serve_process(tmp_path / "home") as said:
        assert run("serve", "--home", tmp_path / "home", "--port", 0) == 2
        complaint = capsys.readouterr().err
        assert said["url"] in complaint and "process " in complaint
        assert httpx.get(f"{said['url']}/api/v1/health").status_code == 200
    with _alone(Home.at(tmp_path / "home")):
        pass  # it is free again


def test_it_does_not_start_unless_all_is_well(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    short = tmp_path / "short"
    short.write_text("secret")
    short.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        cases: list[tuple[list[object], str]] = [
            (["--port", taken], f"cannot listen at port {taken} of 127.0.0.1"),
            (["--host", "0.0.0.0"], "host: others can reach it, so it needs a token"),
            (["--token-file", short], "token-file: must hold at least 16"),
            (["--token-file", tmp_path / "none"], "token-file: cannot be read"),
            (["--data-root", tmp_path / "none", "--data-root", short], "none'"),
            (["--cores", 0], "--cores"),
        ]
        for options, told in cases:
            assert run("serve", "--home", tmp_path / "home", *options) == 2, options
            captured = capsys.readouterr()
            assert told in captured.err and "secret" not in captured.err and captured.out == "", options


@pytest.mark.slow
def test_elsewhere_it_listens_with_a_chosen_token_and_knows_the_names_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    options = (
        "--host",
        "0.0.0.0",
        "--token-file",
        file,
        "--allow-host",
        "studies.example",
        "--data-root",
        tmp_path,
    )
    with serve_process(tmp_path / "home", *options) as said:
        port = said["url"].rpartition(":")[2]
        ours = f"http://127.0.0.1:{port}/api/v1/health"
        assert httpx.get(ours).status_code == 200
        assert httpx.get(ours, headers={"Host": "studies.example"}).status_code == 200
        assert httpx.get(ours, headers={"Host": "evil.example"}).status_code == 421
        assert not (tmp_path / "home" / "service" / "token").exists()


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(UserError, match="belongs to another user"):
        private_directory(tmp_path / "service")
