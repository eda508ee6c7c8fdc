"""The worker on an in-process broker: consumes under a lease, stops in order, outlives what it cannot read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from dramatiq import Consumer, Message
from dramatiq.brokers.stub import StubBroker

from domain.actions.model import Run
from domain.live.ports import Signal
from infra.live.hand_over import ACTOR, queue_name
from infra.memory.hand_over import MemoryHandOver
from jobs.embedded import run_embedded
from jobs.metrics import JobMetrics
from jobs.rescuer import BATCH
from jobs.stop import Stop
from jobs.worker import run_worker
from tests.support.engine_fakes import FakeEngine, FakeHandlerRunner, Handler, sample, services_of, settings_of
from tests.support.live_fakes import FakeSignals
from tests.support.waiting import until


class Works:
    def __init__(self, handler: Handler | None = None, **settings: float) -> None:
        self.engine, self.signals, self.broker = FakeEngine(), FakeSignals(), StubBroker(middleware=[])
        self.handler = handler or Handler()
        self.settings = settings_of(flush_interval=0.001, worker_threads=2, **settings)
        self.hand_over = MemoryHandOver(self.broker, self.settings.namespace)
        self.services = services_of(
            self.engine,
            self.settings,
            signals=self.signals,
            broker=self.broker,
            hand_over=self.hand_over,
            open_workers=self.open_workers,
            handler_runner=FakeHandlerRunner({"wait": self.handler}),
        )

    @asynccontextmanager
    async def open_workers(self) -> AsyncIterator[FakeEngine]:
        yield self.engine

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Stop]:
        stop = Stop()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_worker(self.services, stop, JobMetrics(self.services.metrics)))
            try:
                yield stop
            finally:
                stop.ask()


async def test_what_is_handed_over_is_run_and_acknowledged_as_soon_as_it_has_started() -> None:
    works = Works()
    tasks = [works.engine.add_run("wait") for _ in range(3)]
    async with works.worker():
        await works.hand_over.send([tasks])
        await until(lambda: works.handler.running == 3)
        await asyncio.to_thread(works.broker.join, queue_name(works.settings.namespace), timeout=5_000)
        works.handler.gate.set()
        await until(lambda: works.engine.states() == ["SUCCEEDED"] * 3)
    assert works.engine.left == works.engine.entered


async def test_it_asks_the_broker_for_no_more_messages_than_its_threads_can_look_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    works = Works()
    task, asked, consume = works.engine.add_run("wait"), [], works.broker.consume

    def noting(queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:
        asked.append((queue_name, prefetch))
        return consume(queue_name, prefetch, timeout)

    monkeypatch.setattr(works.broker, "consume", noting)
    works.handler.gate.set()
    async with works.worker():
        await works.hand_over.send([[task]])
        await until(lambda: works.engine.states() == ["SUCCEEDED"])
    assert (queue_name(works.settings.namespace), works.settings.worker_threads) in asked


async def test_a_hand_over_that_cannot_be_read_is_dropped() -> None:
    works = Works()
    queue = queue_name(works.settings.namespace)
    task = works.engine.add_run("wait")
    works.handler.gate.set()
    async with works.worker():
        for poison in ("no id", 7, None):
            works.broker.enqueue(
                Message(queue_name=queue, actor_name=ACTOR, args=([poison],), kwargs={}, options={})
            )
        await works.hand_over.send([[task]])
        await until(lambda: works.engine.states() == ["SUCCEEDED"])
    assert sample(works.services, "carillon_loop_errors_total", loop="hand_over") == 3


async def test_a_cancellation_is_heard_of_at_once() -> None:
    works = Works()
    task = works.engine.add_run("wait")
    async with works.worker():
        await works.hand_over.send([[task]])
        await until(lambda: works.handler.running == 1)
        works.engine.rows[task].cancel_requested = True
        await works.signals.watched(Signal.CANCEL)
        works.signals.send(Signal.CANCEL)
        await until(lambda: works.engine.states() == ["CANCELLED"])


async def test_it_stops_in_order() -> None:
    works = Works(stop_grace=0.02)
    task = works.engine.add_run("wait")
    async with works.worker() as stop:
        await works.hand_over.send([[task]])
        await until(lambda: works.handler.running == 1)
        stop.ask()
        await until(lambda: list(works.engine.leases.values()) == [(100, True)])
    assert works.engine.states() == ["SCHEDULED"]
    assert works.engine.leases == {}
    calls = [call for call in works.engine.faults.calls if call in ("beat", "hand_back", "leave")]
    assert calls == ["beat", "hand_back", "leave"]


async def test_told_to_stop_before_it_has_a_lease_it_stops() -> None:
    works = Works()
    works.engine.faults.down = True
    async with works.worker():
        await until(lambda: works.engine.faults.count("enter") == 1)
    assert works.engine.entered == []


async def test_embedded_a_task_goes_through_every_part_and_all_of_them_stop() -> None:
    works = Works()
    works.handler.gate.set()
    async with run_embedded(works.services):
        task = works.engine.add(Run(handler="wait", payload={}))
        works.signals.send(Signal.DUE)
        await until(lambda: works.engine.states(task) == ["SUCCEEDED"])
    assert works.engine.leases == {}


async def test_embedded_what_a_crash_left_handed_over_is_put_back_before_anything_else() -> None:
    works = Works()
    works.engine.lost = {"lost_hand_overs": [BATCH, 1]}
    async with run_embedded(works.services):
        pass
    assert works.engine.faults.calls[:2] == ["lost_hand_overs"] * 2
