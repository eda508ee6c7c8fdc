"""What a hand-over promises, with a real Dramatiq worker at the other end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from uuid import UUID

import aio_pika
import dramatiq
import pytest
from prometheus_client import CollectorRegistry

from domain.errors import Unavailable
from domain.live.ports import HandOver
from infra.live.hand_over import ACTOR, queue_name
from infra.memory.broker import build_stub_broker
from infra.memory.bus import open_memory_bus
from infra.rabbit.broker import build_rabbit_broker
from infra.settings import Settings
from tests.support.buses import KINDS, open_rabbit, rabbit_settings
from tests.support.storage import ids
from tests.support.tcp_proxy import open_proxy
from tests.support.waiting import until


class Received:
    """What the actor was called with, in the worker's threads."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self._lock = threading.Lock()

    def take(self, ids: list[str]) -> None:
        with self._lock:
            self.batches.append(ids)

    @property
    def ids(self) -> list[UUID]:
        return [UUID(id) for batch in self.batches for id in batch]


@contextmanager
def working(broker: dramatiq.Broker, queue: str, received: Received) -> Iterator[None]:
    @dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=queue)
    def run_tasks(ids: list[str]) -> None:
        received.take(ids)

    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        yield
    finally:
        worker.stop()
        broker.close()


@dataclass(frozen=True)
class Ends:
    hand_over: HandOver
    worker: Callable[[Received], AbstractContextManager[None]]
    """A worker that notes what it is given, for as long as it is entered."""


@asynccontextmanager
async def open_ends(kind: str, namespace: str) -> AsyncIterator[Ends]:
    queue = queue_name(namespace)
    if kind == "memory":
        broker = build_stub_broker()
        async with open_memory_bus(Settings(namespace=namespace), CollectorRegistry(), broker) as bus:
            yield Ends(bus.hand_over, lambda received: working(broker, queue, received))
        return
    settings = rabbit_settings(namespace)
    async with open_rabbit(namespace) as rabbit:
        yield Ends(rabbit.hand_over, lambda got: working(build_rabbit_broker(settings), queue, got))


@pytest.fixture(params=KINDS)
async def ends(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[Ends]:
    async with open_ends(request.param, namespace) as opened:
        yield opened


def some(count: int) -> list[UUID]:
    return [ids.next() for _ in range(count)]


async def test_a_worker_is_called_once_for_each_batch_with_its_ids(ends: Ends) -> None:
    received, batches = Received(), [some(1), some(20), some(3)]
    with ends.worker(received):
        await ends.hand_over.send(batches)
        await until(lambda: len(received.batches) == 3, 10)
    assert sorted(received.batches) == sorted([str(id) for id in batch] for batch in batches)


async def test_what_is_handed_over_before_a_worker_is_there_waits_for_it(ends: Ends) -> None:
    received, one, two = Received(), some(2), some(2)
    await ends.hand_over.send([one])
    with ends.worker(received):
        await ends.hand_over.send([two])
        await until(lambda: len(received.batches) == 2, 10)
    assert set(received.ids) == {*one, *two}


async def test_handing_over_nothing_is_nothing(ends: Ends) -> None:
    received = Received()
    await ends.hand_over.send([])
    with ends.worker(received):
        await ends.hand_over.send([some(1)])
        await until(lambda: len(received.batches) == 1, 10)


async def test_many_at_once_all_arrive(ends: Ends) -> None:
    received, batches = Received(), [some(1) for _ in range(1_000)]
    with ends.worker(received):
        await ends.hand_over.send(batches)
        await until(lambda: len(received.batches) == 1_000, 20)
    assert set(received.ids) == {id for (id,) in batches}


@pytest.mark.parametrize("build", [build_stub_broker, lambda: build_rabbit_broker(rabbit_settings("a"))])
def test_brokers_have_no_middleware_and_are_nobody_elses(build: Callable[[], dramatiq.Broker]) -> None:
    broker = build()
    assert broker.middleware == []
    assert dramatiq.broker.global_broker is None
    broker.close()


# RabbitMQ may be gone


@pytest.mark.rabbit
async def test_a_hand_over_that_no_queue_takes_is_unavailable_and_the_queue_is_declared_again(
    amqp_url: str, namespace: str
) -> None:
    queue = queue_name(namespace)
    async with await aio_pika.connect(amqp_url) as connection, open_rabbit(namespace) as bus:
        channel = await connection.channel()
        await channel.queue_delete(queue)
        with pytest.raises(Unavailable, match="RabbitMQ"):
            await bus.hand_over.send([some(1)])
        await bus.hand_over.send([some(1)])
        assert (await channel.declare_queue(queue, passive=True)).declaration_result.message_count == 1


@pytest.mark.rabbit
@pytest.mark.parametrize("loss", ["refuse", "hang"])
async def test_a_hand_over_fails_in_time_and_the_next_succeeds_once_rabbitmq_is_back(
    amqp_url: str, namespace: str, loss: str
) -> None:
    async with open_proxy(amqp_url) as proxy, open_rabbit(namespace, proxy.url) as bus:
        await bus.hand_over.send([some(1)])
        if loss == "hang":
            proxy.hang()
        else:
            await proxy.refuse()
        with pytest.raises(Unavailable, match="RabbitMQ"):
            async with asyncio.timeout(4):
                await bus.hand_over.send([some(1) for _ in range(100)])
        await proxy.accept()

        async def gets_through() -> bool:
            try:
                await bus.hand_over.send([some(1)])
            except Unavailable:
                return False
            return True

        await until(gets_through, 15)
