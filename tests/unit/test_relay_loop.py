"""Events are published in order, and forgotten only once they are safe."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

import jobs.relay
from domain.contracts.events import Event
from domain.contracts.tasks import TaskChangedV1
from domain.errors import Unavailable
from domain.live.ports import Signal
from jobs.metrics import JobMetrics
from jobs.relay import relay_once, run_relay
from jobs.stop import Stop
from tests.support.engine_fakes import an_event, logged, services_of, settings_of
from tests.support.live_fakes import FakeEvents, FakeOutbox, FakeSignals
from tests.support.waiting import until


class Relay:
    def __init__(self, batch: int = 10, poll_interval: float = 1) -> None:
        self.outbox, self.events, self.signals = FakeOutbox(), FakeEvents(), FakeSignals()
        self.settings = settings_of(relay_batch=batch, poll_interval=poll_interval)
        self.services = services_of(
            settings=self.settings,
            outbox=self.outbox,
            events=self.events,
            signals=self.signals,
            forget=self.forget,
        )
        self.metrics = JobMetrics(self.services.metrics)
        self.told: list[TaskChangedV1] = []
        self.published_when_told: list[int] = []

    async def forget(self, events: Sequence[TaskChangedV1]) -> None:
        self.told.extend(events)
        self.published_when_told.append(len(self.events.published))

    async def once(self) -> int:
        async with self.outbox.lead() as lead:
            published = await relay_once(self.services, lead)
            await lead.remove(published)
            return len(published)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = Stop()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_relay(self.services, stop, self.metrics))
            try:
                yield
            finally:
                stop.ask()


async def test_the_oldest_events_are_published_in_order_then_removed() -> None:
    relay = Relay(batch=2)
    first, second, third = an_event(), an_event(), an_event()
    relay.outbox.add(first, second, third)
    assert [await relay.once(), await relay.once(), await relay.once()] == [2, 1, 0]
    assert relay.events.published == relay.told == [first, second, third]
    assert relay.published_when_told == [0, 2], "before anyone else hears of them"
    assert relay.outbox.pending == []


async def test_what_was_not_confirmed_stays() -> None:
    relay = Relay()
    event = an_event()
    relay.outbox.add(event)
    relay.events.faults.plan("publish", Unavailable("RabbitMQ"), done_all_the_same=True)
    with pytest.raises(Unavailable):
        await relay.once()
    assert [one.event for one in relay.outbox.pending] == [event]
    assert await relay.once() == 1
    assert relay.events.published == [event, event], "at least once"


async def test_it_empties_the_outbox_then_waits_for_a_signal() -> None:
    relay = Relay(batch=2)
    relay.outbox.add(*[an_event() for _ in range(5)])
    async with relay.running():
        watch = await relay.signals.watched(Signal.OUTBOX)
        assert len(relay.events.published) == 5
        assert watch.waits == [1]
        relay.outbox.add(an_event())
        relay.signals.send(Signal.OUTBOX)
        await until(lambda: len(relay.events.published) == 6)


async def test_it_lets_a_moment_pass_for_more_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.relay, "GATHERING", 3_600)
    relay = Relay()
    first, *more = [an_event() for _ in range(3)]
    relay.outbox.add(first)
    async with relay.running():
        await until(lambda: relay.events.published)
        relay.outbox.add(*more)
        for _ in range(100):
            await asyncio.sleep(0)
        assert relay.events.published == [first]
    assert [one.event for one in relay.outbox.pending] == more, "what was published is removed at a stop"


async def test_what_is_published_is_removed_with_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs.relay, "GATHERING", 0)
    relay = Relay()
    events = [an_event() for _ in range(3)]
    coming = iter(events[1:])

    async def forget(_: Sequence[Event]) -> None:
        for event in itertools.islice(coming, 1):
            relay.outbox.add(event)

    relay.services = replace(relay.services, forget=forget)
    relay.outbox.add(events[0])
    async with relay.running():
        await until(lambda: not relay.outbox.pending)
    assert relay.events.published == events
    assert relay.outbox.faults.count("remove") == 0
    assert relay.outbox.faults.count("oldest") == 4


async def test_a_lost_signal_costs_one_poll_interval() -> None:
    relay = Relay()
    async with relay.running():
        watch = await relay.signals.watched(Signal.OUTBOX)
        relay.outbox.add(an_event())
        watch.lapse()
        await until(lambda: relay.events.published)


async def test_a_lead_that_is_lost_is_taken_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    relay = Relay()
    relay.outbox.add(an_event())
    relay.outbox.faults.plan("oldest", Unavailable("PostgreSQL"), Unavailable("PostgreSQL"))
    async with relay.running():
        await until(lambda: relay.events.published)
    assert relay.outbox.leads == 3
    assert logged(caplog.records, "relay waits") == 1
    assert logged(caplog.records, "relay goes on") == 1


async def test_it_waits_for_a_broker_that_is_away() -> None:
    relay = Relay()
    event = an_event()
    relay.outbox.add(event)
    relay.events.faults.down = True
    async with relay.running():
        await until(lambda: relay.events.faults.count("publish") == 2)
        relay.events.faults.down = False
        await until(lambda: not relay.outbox.pending)
    assert relay.events.published == [event]


async def test_beside_another_relay_it_stands_by_until_a_partition_is_free() -> None:
    relay = Relay(poll_interval=0.001)
    relay.outbox.taken_elsewhere = True
    relay.outbox.add(an_event())
    async with relay.running():
        await until(lambda: relay.outbox.faults.count("acquire") >= 3)
        assert relay.outbox.faults.count("oldest") == 0
        assert relay.signals.watches == {}, "signals are for the relay that leads"
        relay.outbox.taken_elsewhere = False
        await until(lambda: relay.events.published)


async def test_it_takes_on_partitions_another_relay_left_while_it_is_busy() -> None:
    relay = Relay(poll_interval=0.001)
    async with relay.running():
        watch = await relay.signals.watched(Signal.OUTBOX)

        def looked_again() -> bool:
            watch.lapse()
            return relay.outbox.faults.count("acquire") >= 3

        await until(looked_again)
    assert relay.outbox.leads == 1
