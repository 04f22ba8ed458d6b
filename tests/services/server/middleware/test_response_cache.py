"""What many ask at the same moment is worked out once; nobody is told what was so before a change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from convscout.services.server.middleware.response_cache import MOMENT_S, Shared, SharedAnswers
from tests.services.server.auth.test_sign_in import Clock

STUDY = "/api/v1/studies/a"


class App:
    """Answers with how often it was asked, as ``respond`` has it, once ``gate`` is open."""

    def __init__(self, respond: Callable[[int], Response] = JSONResponse) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        asked = self.asked
        scope["route"] = f"route {asked}"
        await self.gate.wait()
        await self._respond(asked)(scope, receive, send)


class Asking:
    """Asks ``app`` through the layer that shares."""

    def __init__(self, app: Any) -> None:
        self.clock = Clock()
        self.answers = SharedAnswers(clock=self.clock)
        self._shared = Shared(app, self.answers)

    async def __call__(self, path: str = STUDY, method: str = "GET", query: str = "", **headers: str) -> str:
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope: Scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
        sent: list[Message] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"added", b"by a layer before"))
            sent.append(message)

        await self._shared({**scope, "headers": named}, _nothing, send)
        assert [name for name, _ in sent[0]["headers"]].count(b"added") == 1
        return b"".join(message["body"] for message in sent[1:]).decode()


async def _nothing() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))  # type: ignore[arg-type]


def test_the_same_is_worked_out_once_a_moment() -> None:
    async def work() -> None:
        ask = Asking(app := App())
        assert [await ask() for _ in range(5)] == ["1"] * 5
        ask.clock.now_s += MOMENT_S * 1.01
        assert await ask() == "2"
        assert app.asked == 2

    run(work)


def test_those_who_ask_while_it_is_worked_out_wait_for_that() -> None:
    async def work() -> None:
        ask = Asking(app := App())
        app.gate.clear()
        asking = [asyncio.create_task(ask()) for _ in range(20)]
        await asyncio.sleep(0.05)
        app.gate.set()
        assert await asyncio.gather(*asking) == ["1"] * 20
        assert app.asked == 1

    run(work)


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
def test_after_a_change_nobody_is_told_what_was_before(method: str) -> None:
    async def work() -> None:
        ask = Asking(app := App())
        assert await ask() == "1"
        assert await ask("/studies/a/pause", method) == "2"
        assert await ask() == "3"
        app.gate.clear()
        before = asyncio.create_task(ask(query="one=1"))  # begun before the change, answered after it
        change = asyncio.create_task(ask(method=method))
        await asyncio.sleep(0.05)
        app.gate.set()
        await asyncio.gather(before, change)
        assert await ask(query="one=1") == "6"
        ask.answers.forget()
        assert await ask() == "7"

    run(work)


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/api/v1/studies/b"},
        {"query": "limit=1"},
        {"if_none_match": '"a"'},
        {"path": "/studies/a"},
        {"method": "HEAD"},
        {"content_length": "3"},
        {"transfer_encoding": "chunked"},
    ],
)
def test_what_is_asked_otherwise_is_worked_out_for_itself(other: dict[str, str]) -> None:
    async def work() -> None:
        ask = Asking(app := App())
        await ask()
        await ask(**other)  # type: ignore[arg-type]
        assert app.asked == 2

    run(work)


@pytest.mark.parametrize(
    "respond",
    [
        lambda asked: JSONResponse(asked, 404),
        lambda asked: PlainTextResponse(str(asked)),
        lambda asked: JSONResponse("x" * 1_100_000),
        lambda asked: StreamingResponse(iter([b"a", b"b"]), media_type="application/json"),
    ],
)
def test_refusals_files_and_streams_are_not_shared(respond: Callable[[int], Response]) -> None:
    async def work() -> None:
        ask = Asking(app := App(respond))
        await asyncio.gather(*(ask() for _ in range(3)))
        assert app.asked == 3

    run(work)


def test_who_waits_for_one_that_fails_or_leaves_asks_for_himself() -> None:
    class Failing(App):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if not self.asked:
                self.asked += 1
                await asyncio.sleep(0.05)
                raise RuntimeError("a bug")
            await super().__call__(scope, receive, send)

    async def work() -> None:
        ask = Asking(Failing())
        found = await asyncio.gather(*(ask() for _ in range(3)), return_exceptions=True)
        assert isinstance(found[0], RuntimeError) and found[1:] == ["2", "3"]

    run(work)


def test_the_shared_answer_is_counted_by_its_route() -> None:
    async def work() -> None:
        shared = Shared(App(), SharedAnswers())
        for _ in range(2):
            scope: Scope = {
                "type": "http",
                "method": "GET",
                "path": STUDY,
                "query_string": b"",
                "headers": [],
            }
            await shared(scope, _nothing, _dropped)
            assert scope["route"] == "route 1"

    run(work)


async def _dropped(message: Message) -> None:
    pass
