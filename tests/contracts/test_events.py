"""What events promise, over RabbitMQ and inside one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from domain.contracts.events import Event
from domain.errors import Unavailable
from tests.support.buses import KINDS, Bus, a_misfire, an_event, open_two, pending, some_events
from tests.support.consumer_queues import dead_letters, remove_consumer
from tests.support.waiting import until

NAME = "notifier"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def two(kind: str, namespace: str) -> AsyncIterator[tuple[Bus, Bus]]:
    async with open_two(kind, namespace) as opened:
        yield opened


class Book:
    """A consumer that writes down what it is given, and fails as it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.handled: list[str] = []
        self.attempts: dict[str, int] = {}
        self.poison: set[str] = set()
        self.outage = 0
        """How many calls find something Unavailable."""

    async def handle(self, events: Sequence[Any]) -> None:
        self.batches.append(list(events))
        for event in events:
            self.attempts[event.title] = self.attempts.get(event.title, 0) + 1
        await asyncio.sleep(0)
        if self.outage:
            self.outage -= 1
            raise Unavailable("PostgreSQL")
        if any(event.title in self.poison for event in events):
            raise ValueError("poison")
        self.handled += [event.title for event in events]


def titles(events: Sequence[Any]) -> list[str]:
    return [event.title for event in events]


@asynccontextmanager
async def consuming(bus: Bus, book: Book, batch: int = 100, name: str = NAME) -> AsyncIterator[None]:
    async with bus.events.consume(name, book.handle, batch):
        yield


async def test_a_consumer_is_handed_every_event_in_order_and_whole(two: tuple[Bus, Bus]) -> None:
    here, there = two
    book, events = Book(), [*some_events(230), an_event(title="ünïcode\u2028", body=None, labels=())]
    async with consuming(there, book):
        await here.events.publish(pending(*events))
        await until(lambda: len(book.handled) == 231)
    assert [event for batch in book.batches for event in batch] == events


async def test_publishing_nothing_needs_nobody(two: tuple[Bus, Bus]) -> None:
    here, _ = two
    await here.events.publish([])


async def test_events_are_handed_over_together_but_no_more_than_asked(two: tuple[Bus, Bus]) -> None:
    here, there = two
    book = Book()
    async with consuming(there, book, batch=7):
        await here.events.publish(pending(*some_events(300)))
        await until(lambda: len(book.handled) == 300)
    assert max(len(batch) for batch in book.batches) == 7
    assert len(book.batches) < 100


async def test_each_event_goes_to_one_of_the_consumers_of_a_name(two: tuple[Bus, Bus]) -> None:
    here, there = two
    one, other = Book(), Book()
    async with consuming(here, one), consuming(there, other):
        for number in range(60):
            await here.events.publish(pending(an_event(title=str(number))))
        await until(lambda: len(one.handled) + len(other.handled) == 60)
    assert sorted(one.handled + other.handled, key=int) == [str(number) for number in range(60)]


async def test_consumers_of_two_names_get_every_event_each(two: tuple[Bus, Bus], namespace: str) -> None:
    here, there = two
    one, other = Book(), Book()
    try:
        async with consuming(here, one), consuming(there, other, name="auditor"):
            await here.events.publish(pending(*some_events(10)))
            await until(lambda: len(one.handled) == len(other.handled) == 10)
    finally:
        await remove_consumer(here, namespace, "auditor")


async def test_events_published_before_the_first_consumer_are_not_lost(two: tuple[Bus, Bus], kind: str) -> None:
    here, there = two
    book, events = Book(), some_events(3)
    if kind == "memory":  # where only the outbox is durable, so that is where they stay
        with pytest.raises(Unavailable):
            await here.events.publish(pending(*events))
    else:
        await here.events.publish(pending(*events))
        events = []
    async with consuming(there, book):
        await here.events.publish(pending(*events))
        await until(lambda: len(book.handled) == 3)


async def test_events_published_between_two_consumers_are_not_lost(two: tuple[Bus, Bus], kind: str) -> None:
    here, there = two
    first, second, events = Book(), Book(), some_events(3)
    async with consuming(there, first):
        await here.events.publish(pending(*events[:1]))
        await until(lambda: first.handled == titles(events[:1]))
    if kind == "memory":
        with pytest.raises(Unavailable):
            await here.events.publish(pending(*events[1:]))
    else:
        await here.events.publish(pending(*events[1:]))
    async with consuming(there, second):
        if kind == "memory":
            await here.events.publish(pending(*events[1:]))
        await until(lambda: second.handled == titles(events[1:]))


async def test_an_outage_is_waited_out_and_sets_nothing_aside(two: tuple[Bus, Bus], namespace: str) -> None:
    here, there = two
    book = Book()
    book.outage = 6  # more than an event may fail
    async with consuming(there, book):
        await here.events.publish(pending(*some_events(3)))
        await until(lambda: len(book.handled) == 3, 20)
    assert await dead_letters(here, namespace, NAME) == []


async def test_an_event_that_keeps_failing_is_set_aside_after_5_deliveries_and_holds_up_nobody(
    two: tuple[Bus, Bus], namespace: str
) -> None:
    here, there = two
    book, events = Book(), some_events(20)
    book.poison = {"Task 7", "Task 13"}
    async with consuming(there, book):
        await here.events.publish(pending(*events))
        await until(lambda: len(book.handled) == 18)

        async def all_set_aside() -> bool:
            return len(await dead_letters(here, namespace, NAME)) == 2

        await until(all_set_aside)
        await here.events.publish(pending(an_event(title="next")))
        await until(lambda: "next" in book.handled)
    aside = await dead_letters(here, namespace, NAME)
    assert sorted(titles(aside)) == ["Task 13", "Task 7"]
    assert {events[7], events[13]} == set(aside)
    assert len(book.handled) == len(set(book.handled)) == 19
    # Each delivery may try it twice: together with others, then by itself.
    assert all(5 <= book.attempts[title] <= 10 for title in book.poison)


async def test_what_was_set_aside_is_counted(two: tuple[Bus, Bus]) -> None:
    here, there = two
    assert await here.dead_letters() == {NAME: 0, "tasks": 0}
    book = Book()
    book.poison = {"Task 1", "Task 2"}

    async def counted() -> bool:
        return await here.dead_letters() == {NAME: 2, "tasks": 0}

    async with consuming(there, book):
        await here.events.publish(pending(*some_events(3)))
        await until(counted)


async def test_an_event_that_fails_for_a_while_is_handled_in_the_end(
    two: tuple[Bus, Bus], namespace: str
) -> None:
    here, there = two
    book = Book()
    book.poison = {"Task 0"}

    async def handle(events: Sequence[Any]) -> None:
        if book.attempts.get("Task 0", 0) >= 3:
            book.poison.clear()
        await book.handle(events)

    async with there.events.consume(NAME, handle, 100):
        await here.events.publish(pending(*some_events(1)))
        await until(lambda: book.handled == ["Task 0"])
    assert await dead_letters(here, namespace, NAME) == []


async def test_what_is_in_hand_is_handled_to_its_end_when_a_consumer_is_left(two: tuple[Bus, Bus]) -> None:
    here, there = two
    begun, go_on, handled = asyncio.Event(), asyncio.Event(), list[str]()

    async def handle(events: Sequence[Any]) -> None:
        begun.set()
        await go_on.wait()
        handled.extend(titles(events))

    async with asyncio.TaskGroup() as group:
        async with there.events.consume(NAME, handle, 100):
            group.create_task(here.events.publish(pending(*some_events(1))))
            await begun.wait()
            asyncio.get_running_loop().call_later(0.05, go_on.set)
        assert handled == ["Task 0"]


async def test_an_error_beside_a_consumer_or_listener_is_raised_as_it_is(two: tuple[Bus, Bus]) -> None:
    here, _ = two
    with pytest.raises(ZeroDivisionError):
        async with consuming(here, Book()):
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        async with here.events.listen(lambda event: None, lambda: None):
            raise ZeroDivisionError


# Listening


class Ear:
    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.misses = 0

    def hear(self, event: Any) -> None:
        self.heard.append(event)

    def miss(self) -> None:
        self.misses += 1


async def test_every_listener_hears_every_event_in_order(two: tuple[Bus, Bus]) -> None:
    here, there = two
    one, other, events = Ear(), Ear(), some_events(130)
    async with (
        consuming(here, Book()),
        here.events.listen(one.hear, one.miss),
        there.events.listen(other.hear, other.miss),
    ):
        for event in events:
            await here.events.publish(pending(event))
        await until(lambda: len(one.heard) == len(other.heard) == 130)
    assert one.heard == other.heard == events
    assert one.misses == other.misses == 0


async def test_a_listener_hears_only_what_is_published_while_it_listens(two: tuple[Bus, Bus]) -> None:
    here, there = two
    ear, (before, during, after) = Ear(), some_events(3)
    async with consuming(here, Book()):
        await here.events.publish(pending(before))
        async with there.events.listen(ear.hear, ear.miss):
            await here.events.publish(pending(during))
            await until(lambda: len(ear.heard) == 1)
        await here.events.publish(pending(after))
    assert ear.heard == [during]


async def test_a_listener_that_raises_hears_the_next_event_all_the_same(two: tuple[Bus, Bus]) -> None:
    here, there = two
    ear, book = Ear(), Book()

    def hear(event: Any) -> None:
        if event.title == "Task 1":
            raise ValueError("no")
        ear.hear(event)

    async with consuming(here, book), there.events.listen(hear, ear.miss):
        await here.events.publish(pending(*some_events(3)))
        await until(lambda: titles(ear.heard) == ["Task 0", "Task 2"])
        await until(lambda: len(book.handled) == 3)


async def test_facts_of_every_kind_arrive_as_they_were_and_in_their_order(
    two: tuple[Bus, Bus], namespace: str
) -> None:
    here, there = two
    facts: list[Event] = [an_event(), a_misfire(), an_event(), a_misfire(owner=None, exact=False)]
    ear = Ear()
    async with there.events.listen(ear.hear, ear.miss), here.events.consume(NAME, _nothing, 10):
        await here.events.publish(pending(*facts))
        await until(lambda: len(ear.heard) == len(facts))
    assert ear.heard == facts


async def _nothing(_: Sequence[Any]) -> None:
    return None
