"""Which messages of events reach the queue of the notifier."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import aio_pika
import pytest
from aio_pika.abc import AbstractQueue

from domain.contracts.events import Event
from domain.contracts.tasks import TaskEventKind
from infra.rabbit.event_wire import packed, read_events
from tests.support.buses import a_misfire, an_event, open_rabbit, pending

pytestmark = pytest.mark.rabbit

NAME = "notifier"
QUIET = an_event(kind=TaskEventKind.STARTED)
LOUD = an_event(kind=TaskEventKind.FAILED)


@pytest.fixture
async def queue(amqp_url: str, namespace: str) -> AsyncIterator[AbstractQueue]:
    async with open_rabbit(namespace), await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        yield await channel.get_queue(f"{namespace}.{NAME}", ensure=False)


async def published(namespace: str, *events: Event) -> None:
    """By a process that has just come."""
    async with open_rabbit(namespace) as bus:
        await bus.events.publish(pending(*events))


async def taken(queue: AbstractQueue) -> Sequence[Event]:
    events: list[Event] = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        events += read_events(message)
    return events


async def test_what_nobody_is_told_of_does_not_reach_it(queue: AbstractQueue, namespace: str) -> None:
    misfire = a_misfire()
    await published(namespace, QUIET, misfire, LOUD)
    assert await taken(queue) == [misfire, LOUD]


async def test_what_is_published_with_it_comes_along(queue: AbstractQueue, namespace: str) -> None:
    await published(namespace, QUIET, LOUD, QUIET)
    assert await taken(queue) == [QUIET, LOUD, QUIET]


async def test_what_an_older_relay_publishes_reaches_it(
    queue: AbstractQueue, amqp_url: str, namespace: str
) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        exchange = await (await connection.channel()).get_exchange(f"{namespace}.events")
        for _, message in packed(pending(QUIET, LOUD)):
            await exchange.publish(message, message.type or "")
    assert await taken(queue) == [QUIET, LOUD]


async def test_it_no_longer_takes_everything_once_a_process_of_this_version_came(
    queue: AbstractQueue, namespace: str
) -> None:
    await queue.bind(f"{namespace}.events", "#")
    await published(namespace, QUIET)
    assert await taken(queue) == []
