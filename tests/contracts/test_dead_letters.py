"""What dead letters promise, of events that could not be handled: over RabbitMQ and inside one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from domain.contracts.events import Event
from domain.dead_letters.model import Chosen, DeadLetter
from domain.dead_letters.ports import DeadLetters
from domain.errors import Unavailable
from tests.support.buses import KINDS, Bus, an_event, open_two, pending
from tests.support.storage import clock
from tests.support.waiting import until

NAME = "notifier"
ALL = Chosen()


@pytest.fixture(params=KINDS)
async def bus(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[Bus]:
    async with open_two(request.param, namespace) as (here, _):
        yield here


def of(bus: Bus) -> DeadLetters:
    return bus.set_aside()[NAME]


class Book:
    """A consumer that can handle nothing, until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.tries = 0
        self.handled: list[str] = []

    async def handle(self, events: Sequence[Event]) -> None:
        self.tries += 1
        if not self.mended:
            raise ValueError("poison")
        self.handled += [event.event_id for event in events]


@asynccontextmanager
async def poisoned(bus: Bus, *events: Event) -> AsyncIterator[Book]:
    """Everything is set aside, then the consumer is mended."""
    book = Book()
    async with bus.events.consume(NAME, book.handle, 100):
        await bus.events.publish(pending(*events))
        await there_are(bus, len(events))
        book.mended = True
        yield book


async def there_are(bus: Bus, count: int) -> None:
    async def counted() -> bool:
        return (await bus.dead_letters())[NAME] == count

    await until(counted)


def keys(letters: Sequence[DeadLetter]) -> set[str]:
    return {letter.key for letter in letters}


async def test_a_list_shows_them_and_leaves_them_where_they_are(bus: Bus) -> None:
    event = an_event(title="Poison")
    async with poisoned(bus, event) as book:
        for _ in range(2):
            [letter] = (await of(bus).listed()).items
            assert (letter.of, letter.key, letter.tenant, letter.at) == (NAME, event.event_id, "acme", event.at)
            assert letter.what == "task.changed.v1 SUCCEEDED"
            assert json.loads(letter.body) == event.to_wire()
        await there_are(bus, 1)
        assert book.handled == []


async def test_what_is_replayed_is_handled_once_and_replaying_it_again_does_nothing(bus: Bus) -> None:
    one, other = an_event(), an_event()
    async with poisoned(bus, one, other) as book:
        chosen = Chosen(keys=frozenset([one.event_id, "nothing"]))
        assert await of(bus).replay(chosen) == 1
        await until(lambda: book.handled == [one.event_id])
        assert await of(bus).replay(chosen) == 0
        assert keys((await of(bus).listed()).items) == {other.event_id}
        assert await of(bus).replay(ALL) == 1
        await until(lambda: book.handled == [one.event_id, other.event_id])
        await there_are(bus, 0)


async def test_what_fails_again_after_a_replay_has_its_five_tries_and_comes_back(bus: Bus) -> None:
    event = an_event()
    async with poisoned(bus, event) as book:
        book.mended, book.tries = False, 0
        assert await of(bus).replay(ALL) == 1
        await until(lambda: book.tries == 5)
        await there_are(bus, 1)
    assert keys((await of(bus).listed()).items) == {event.event_id}


async def test_what_is_purged_is_gone_and_the_others_stay(bus: Bus) -> None:
    one, other = an_event(), an_event()
    async with poisoned(bus, one, other) as book:
        assert await of(bus).purge(Chosen(keys=frozenset([one.event_id]))) == 1
        assert await of(bus).purge(Chosen(keys=frozenset([one.event_id]))) == 0
        assert keys((await of(bus).listed()).items) == {other.event_id}
        assert await of(bus).purge(ALL) == 1
        await there_are(bus, 0)
        assert book.handled == []


async def test_a_tenant_sees_replays_and_purges_its_own_alone(bus: Bus) -> None:
    mine, theirs = an_event(), an_event(tenant="other")
    async with poisoned(bus, mine, theirs) as book:
        assert keys((await of(bus).listed("other")).items) == {theirs.event_id}
        foreign = Chosen(keys=frozenset([mine.event_id]), tenant="other")
        assert await of(bus).replay(foreign) == await of(bus).purge(foreign) == 0
        assert await of(bus).replay(Chosen(tenant="other")) == 1
        await until(lambda: book.handled == [theirs.event_id])
        assert keys((await of(bus).listed()).items) == {mine.event_id}


async def test_a_replay_that_no_consumer_is_there_for_loses_nothing(bus: Bus) -> None:
    event, book = an_event(), Book()
    async with poisoned(bus, event):
        pass
    try:
        assert await of(bus).replay(ALL) == 1  # it waits in RabbitMQ
    except Unavailable:
        assert keys((await of(bus).listed()).items) == {event.event_id}
    book.mended = True
    async with bus.events.consume(NAME, book.handle, 100):
        await of(bus).replay(ALL)
        await until(lambda: book.handled == [event.event_id])


async def test_they_are_listed_from_one_place_to_the_next_also_when_what_was_there_is_gone(bus: Bus) -> None:
    events = [an_event(at=clock.now() + timedelta(seconds=number)) for number in range(4)]
    async with poisoned(bus, *reversed(events)):
        first, second, third, fourth = (await of(bus).listed()).items
        assert [each.key for each in (first, second, third, fourth)] == [each.event_id for each in events]
        assert await of(bus).purge(Chosen(keys=frozenset([second.key]))) == 1
        behind = await of(bus).listed(after=second.place)
        assert [each.key for each in behind.items] == [third.key, fourth.key]
        assert (behind.more, behind.unseen) == (False, False)
        assert (await of(bus).listed(after=fourth.place)).items == []


@pytest.mark.parametrize("kind", KINDS)
async def test_all_who_look_at_once_see_all(kind: str, namespace: str) -> None:
    events = [an_event() for _ in range(20)]
    async with open_two(kind, namespace) as (here, there), poisoned(here, *events):
        looks = [of(bus).listed() for bus in (here, there, here, there, here)]
        for found in await asyncio.gather(*looks):
            assert keys(found.items) == {each.event_id for each in events}
