"""Feeds: however many follow a study, one looks and one reads, and nobody misses anything."""

from __future__ import annotations

import asyncio

import pytest

from convscout.search_space.errors import LedgerAwayError
from convscout.services.server.api import event_feed as feeds
from convscout.services.server.api.event_feed import Feed, News, Stand


class Journal:
    """What is looked at and read, counted."""

    def __init__(self) -> None:
        self.text = b""
        self.status = "running"
        self.looks = self.reads = self.told = 0
        self.away = False

    def look(self) -> Stand:
        self.looks += 1
        if self.away:
            raise LedgerAwayError("away")
        return Stand(self.status, len(self.text))

    def read(self, position: int) -> News:
        self.reads += 1
        return News(self.text[position:], len(self.text))

    def tell(self) -> None:
        self.told += 1

    def feed(self) -> Feed:
        return Feed(self.look, self.read, self.tell)


async def follow(feed: Feed, stand: Stand, until: bytes) -> tuple[bytes, list[str]]:
    """What one follower is told until the text ends so, and how the study stood meanwhile."""
    heard, position, seen = b"", 0, []
    with feed.followed(stand):
        while not heard.endswith(until):
            turn = feed.turn
            assert feed.stand is not None
            if feed.stand.status not in seen:
                seen.append(feed.stand.status)
            news = await feed.news(position)
            heard, position = heard + news.text, news.position
            if not heard.endswith(until):
                await turn.wait()
    return heard, seen


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "GLANCE_S", 0.05)


def test_many_hear_all_of_it_by_one_reading() -> None:
    async def work() -> None:
        journal = Journal()
        feed = journal.feed()
        stand = journal.look()
        following = [asyncio.create_task(follow(feed, stand, b"z")) for _ in range(100)]
        for letter in (b"a", b"b", b"z"):
            await asyncio.sleep(0.15)
            journal.text += letter
        journal.status = "finished"
        heard = await asyncio.gather(*following)
        assert all(text == b"abz" for text, _ in heard)
        assert journal.reads <= 4 and journal.told >= 3
        await asyncio.sleep(0.1)
        looks = journal.looks
        await asyncio.sleep(0.2)
        assert journal.looks == looks, "nobody follows"

    asyncio.run(asyncio.wait_for(work(), 30))


def test_another_status_wakes_although_nothing_was_written() -> None:
    async def work() -> None:
        journal = Journal()
        feed = journal.feed()
        with feed.followed(journal.look()):
            turn = feed.turn
            journal.status = "paused"
            await turn.wait()
            assert feed.stand == Stand("paused", 0)

    asyncio.run(asyncio.wait_for(work(), 30))


def test_a_database_that_is_away_for_a_while_ends_no_feed() -> None:
    async def work() -> None:
        journal = Journal()
        feed = journal.feed()
        following = asyncio.create_task(follow(feed, journal.look(), b"z"))
        await asyncio.sleep(0)
        journal.away = True
        await asyncio.sleep(0.2)
        journal.away, journal.text = False, b"z"
        assert (await following)[0] == b"z"

    asyncio.run(asyncio.wait_for(work(), 30))
