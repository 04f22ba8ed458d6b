"""What OpenAPI says of the service, and what routes ask for by a parameter."""

from __future__ import annotations

import httpx
import pytest

from convscout.services.http.problems import MEDIA_TYPE, HTTPProblem
from convscout.services.server.dependencies import Paging, Precondition

_METHODS = ("get", "put", "post", "patch", "delete")


def test_every_route_declares_its_problems_and_who_may_ask(program: httpx.Client) -> None:
    said = program.get("/api/v1/openapi.json").json()
    assert said["openapi"].startswith("3.1") and said["info"]["title"] == "convscout"
    assert said["security"] == [{"token": []}] and said["components"]["securitySchemes"]["token"]
    assert "next" in said["components"]["schemas"]["ProblemDetails"]["properties"]
    assert "no_model" in said["components"]["schemas"]["StudyStatus"]["enum"]
    assert said["paths"]
    for path, item in said["paths"].items():
        assert path.startswith("/api/v1/")
        for method in _METHODS & item.keys():
            answers = item[method]["responses"]
            for status in ("400", "401", "403", "421", "422", "429"):
                assert list(answers[status]["content"]) == [MEDIA_TYPE], (path, status)
            assert ("security" in item[method]) == (path == "/api/v1/health")
    assert program.get("/docs").status_code == program.get("/redoc").status_code == 404


def test_a_cursor_comes_back_as_the_key_it_was_made_of() -> None:
    for key in ((1,), ("a ü", 2.5), (0, "x", -3)):
        page = Paging(10, Paging.after(*key))
        assert page.position(*map(type, key)) == key
    assert Paging(10, None).position(int) is None


@pytest.mark.parametrize("key", [(True,), (None,), ("a",), (1.0,), (1, 2), (2**63,)])
def test_a_cursor_of_another_list_is_refused(key: tuple[int, ...]) -> None:
    with pytest.raises(HTTPProblem) as raised:
        Paging(10, Paging.after(*key)).position(int)
    assert raised.value.status == 422 and raised.value.problems[0].field == "cursor"


def test_a_state_is_changed_only_if_it_is_the_one_that_was_meant() -> None:
    one, other = '"1"', '"2"'
    for tags in (None, {one}, {one, other}, {"*"}):
        Precondition(frozenset(tags) if tags else None).require(one)
    with pytest.raises(HTTPProblem) as raised:
        Precondition(frozenset({f"W/{one}", other})).require(one)
    assert raised.value.status == 412
