"""Events when RabbitMQ is lost and comes back: nothing published is lost, and nobody has to be restarted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aio_pika
import pytest
from prometheus_client import CollectorRegistry

from domain.errors import Unavailable
from domain.live.outbox import Pending
from infra.rabbit import listener
from infra.rabbit.bus import RabbitBus
from tests.support.buses import an_event, open_rabbit, pending, some_events
from tests.support.consumer_queues import dead_messages
from tests.support.tcp_proxy import TcpProxy, open_proxy
from tests.support.waiting import until

pytestmark = pytest.mark.rabbit

NAME = "notifier"
BOUND = 4.0
"""No publish takes longer: two seconds to be confirmed, and what a busy machine adds."""


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[TcpProxy]:
    async with open_proxy(amqp_url) as opened:
        yield opened


@pytest.fixture
async def direct(namespace: str) -> AsyncIterator[RabbitBus]:
    """A process whose connections are never lost."""
    async with open_rabbit(namespace) as bus:
        yield bus


class Handled:
    def __init__(self) -> None:
        self.titles: list[str] = []

    async def __call__(self, events: Sequence[Any]) -> None:
        self.titles += [event.title for event in events]

    def first_seen(self) -> list[str]:
        return list(dict.fromkeys(self.titles))


async def published(bus: RabbitBus, events: Sequence[Any]) -> None:
    """As the relay does: again until it is known to be safe."""
    while True:
        try:
            await bus.events.publish(pending(*events))
        except Unavailable:
            await asyncio.sleep(0.01)
        else:
            return


@pytest.mark.parametrize("loss", ["refuse", "hang"])
async def test_a_publish_fails_in_time_and_the_next_succeeds_once_rabbitmq_is_back(
    proxy: TcpProxy, direct: RabbitBus, namespace: str, loss: str
) -> None:
    handled = Handled()
    async with (
        direct.events.consume(NAME, handled, 100),
        open_rabbit(namespace, proxy.url) as bus,
    ):
        await bus.events.publish(pending(an_event(title="before")))
        if loss == "hang":
            proxy.hang()
        else:
            await proxy.refuse()
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(Unavailable, match="RabbitMQ"):
                await bus.events.publish(pending(an_event(title="meanwhile")))
            assert time.monotonic() - began < BOUND
            with pytest.raises(Unavailable, match="RabbitMQ"):
                await bus.check()
        await proxy.accept()
        async with asyncio.timeout(15):
            await published(bus, [an_event(title="after")])
            await until(lambda: {"before", "after"} <= set(handled.titles), 15)
        await bus.check()


async def test_nobody_waits_for_dead_letters_to_be_counted_while_rabbitmq_is_gone(
    proxy: TcpProxy, namespace: str
) -> None:
    async with open_rabbit(namespace, proxy.url) as bus:
        await bus.dead_letters()
        await proxy.refuse()
        await until(lambda: bus.publishing.session is None)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="RabbitMQ"):
            await bus.dead_letters()
        assert time.monotonic() - began < 0.5
        await proxy.accept()
        await until(lambda: bus.publishing.session is not None, 15)
        assert await bus.dead_letters() == {NAME: 0, "tasks": 0}


async def test_events_published_while_connections_are_cut_all_arrive_in_order(
    proxy: TcpProxy, direct: RabbitBus, namespace: str
) -> None:
    handled, events = Handled(), some_events(2_000)

    async def cut_now_and_then() -> None:
        for _ in range(8):
            await asyncio.sleep(0.05)
            proxy.cut()

    async with (
        direct.events.consume(NAME, handled, 100),
        open_rabbit(namespace, proxy.url) as bus,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(cut_now_and_then())
        for start in range(0, len(events), 20):
            await published(bus, events[start : start + 20])
            await asyncio.sleep(0.005)
        await until(lambda: len(handled.first_seen()) == 2_000, 20)
    assert handled.first_seen() == [event.title for event in events]


async def test_a_consumer_that_is_cut_again_and_again_loses_nothing_and_sets_nothing_aside(
    proxy: TcpProxy, direct: RabbitBus, namespace: str
) -> None:
    """RabbitMQ counts every lost connection as a delivery: that must not be mistaken for poison."""
    handled, outage, called = Handled(), True, asyncio.Event()

    async def handle(events: Sequence[Any]) -> None:
        called.set()
        if outage:
            raise Unavailable("PostgreSQL")
        await handled(events)

    async with open_rabbit(namespace, proxy.url) as bus, bus.events.consume(NAME, handle, 100):
        await direct.events.publish(pending(*some_events(50)))
        for _ in range(8):
            session = await bus.consuming.ready()
            called.clear()
            async with asyncio.timeout(20):
                await called.wait()
            proxy.cut()
            await until(lambda: bus.consuming.session not in (None, session), 20)  # noqa: B023  used at once
        outage = False
        await until(lambda: len(handled.first_seen()) == 50, 20)
    assert await dead_messages(namespace, NAME) == []


async def test_a_listener_is_told_that_it_may_have_missed_events_and_hears_the_next(
    proxy: TcpProxy, direct: RabbitBus, namespace: str
) -> None:
    heard: list[str] = []
    misses = 0

    def miss() -> None:
        nonlocal misses
        misses += 1

    async with (
        open_rabbit(namespace, proxy.url) as bus,
        bus.events.listen(lambda event: heard.append(getattr(event, "title", "")), miss),
    ):
        await direct.events.publish(pending(an_event(title="before")))
        await until(lambda: heard == ["before"])
        await proxy.refuse()
        await until(lambda: bus.consuming.session is None)
        await direct.events.publish(pending(an_event(title="unheard")))
        assert misses == 0  # only once it hears again is it known what to read
        await proxy.accept()
        await until(lambda: misses == 1, 15)
        await direct.events.publish(pending(an_event(title="after")))
        await until(lambda: heard == ["before", "after"])
    assert misses == 1


async def test_a_listener_that_falls_behind_is_told_that_it_missed_events(
    proxy: TcpProxy, direct: RabbitBus, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_WAITING", 2)
    misses = 0

    def miss() -> None:
        nonlocal misses
        misses += 1

    registry = CollectorRegistry()
    async with (
        open_rabbit(namespace, proxy.url, registry) as bus,
        bus.events.listen(lambda event: None, miss),
    ):
        proxy.hang()
        large = [an_event(body="x" * 20_000) for _ in range(500)]
        for _ in range(6):  # more than the sockets in between can hold
            await direct.events.publish(pending(*large))
        await proxy.accept()
        await until(lambda: misses > 0, 15)
    assert registry.get_sample_value("carillon_events_missed_total") == misses


async def test_a_process_that_starts_without_rabbitmq_takes_part_once_it_is_there(
    proxy: TcpProxy, direct: RabbitBus, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    handled, misses = Handled(), 0

    def miss() -> None:
        nonlocal misses
        misses += 1

    await proxy.refuse()
    began = time.monotonic()
    async with (
        open_rabbit(namespace, proxy.url) as bus,
        bus.events.consume(NAME, handled, 100),
        bus.events.listen(lambda event: None, miss),
        bus.signals.watch(),
    ):
        assert time.monotonic() - began < BOUND
        await direct.events.publish(pending(*some_events(3)))
        await proxy.accept()
        await until(lambda: len(handled.titles) == 3 and misses == 1, 15)
        await published(bus, [an_event(title="from here")])
        await until(lambda: "from here" in handled.titles)
    ours = [record for record in caplog.records if record.name.startswith("infra.rabbit")]
    assert len(ours) == 2  # one for each connection, however often it was tried


async def test_a_queue_that_was_deleted_is_declared_again(
    direct: RabbitBus, amqp_url: str, namespace: str
) -> None:
    handled = Handled()
    async with (
        await aio_pika.connect(amqp_url) as connection,
        direct.events.consume(NAME, handled, 100),
    ):
        channel = await connection.channel()
        await channel.queue_delete(f"{namespace}.{NAME}")

        async def arrives() -> bool:
            await direct.events.publish(pending(an_event(title="after")))
            return "after" in handled.titles

        await until(arrives, 15)


async def test_an_exchange_that_was_deleted_is_declared_again(
    direct: RabbitBus, amqp_url: str, namespace: str
) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.exchange_delete(f"{namespace}.events")
    with pytest.raises(Unavailable):
        await direct.events.publish(pending(*some_events(1)))
    async with asyncio.timeout(15):
        await published(direct, some_events(1))


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"{}", b"5", b"null", b'[{"kind": "CREATED"}]', b'["a"]', b"[5]", b"\xff"]
)
async def test_what_cannot_be_read_is_set_aside_as_it_is_and_the_rest_handled(
    direct: RabbitBus, amqp_url: str, namespace: str, body: bytes
) -> None:
    handled, heard = Handled(), list[str]()
    async with (
        await aio_pika.connect(amqp_url) as connection,
        direct.events.consume(NAME, handled, 100),
        direct.events.listen(lambda event: heard.append(getattr(event, "title", "")), lambda: None),
    ):
        channel = await connection.channel()
        exchange = await channel.get_exchange(f"{namespace}.events")
        odd = aio_pika.Message(body, message_id="odd", type="task.changed.v1")
        await exchange.publish(odd, "task.changed.v1")
        await direct.events.publish(pending(an_event(title="good")))
        await until(lambda: handled.titles == heard == ["good"])

        async def set_aside() -> bool:
            return [(one.body, one.message_id) for one in await dead_messages(namespace, NAME)] == [
                (body, "odd")
            ]

        await until(set_aside)


async def test_a_message_says_what_it_is(direct: RabbitBus, amqp_url: str, namespace: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(f"{namespace}.{NAME}", ensure=False)
        event = an_event()
        wire = event.to_wire() | {"more": "than this version knows"}
        await direct.events.publish([Pending(1, event, json.dumps(wire))])
        message = await queue.get(no_ack=True)
    assert json.loads(message.body) == [wire]
    assert message.message_id == event.event_id
    assert message.type == "task.changed.v1"
    assert message.routing_key == "task.changed.v1.SUCCEEDED"
    assert message.headers["traceparent"] == event.traceparent
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
