"""Schedules fire the moment they are due, those who wait are told, and the loop outlives every fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from domain.errors import Unavailable
from domain.live.ports import Signal
from domain.schedules.ports import Fired
from infra.recurrence.reading import ReadRecurrences
from jobs.firing import BATCH, SHORTEST_NAP, fire_once, replan_once, run_firing
from jobs.metrics import JobMetrics
from jobs.stop import Stop
from tests.support.engine_fakes import FakeFiring, sample, services_of, settings_of
from tests.support.live_fakes import FakeSignals
from tests.support.waiting import until


class Firing:
    def __init__(self) -> None:
        self.fake, self.signals = FakeFiring(), FakeSignals()
        self.services = services_of(
            settings=settings_of(poll_interval=1),
            firing=self.fake,
            signals=self.signals,
            recurrences=ReadRecurrences(),
        )
        self.metrics = JobMetrics(self.services.metrics)

    async def once(self) -> int:
        return await fire_once(self.services, self.metrics)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = Stop()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_firing(self.services, stop, self.metrics))
            try:
                yield
            finally:
                stop.ask()


async def test_what_was_settled_is_told_and_counted() -> None:
    firing = Firing()
    firing.fake.held = [Fired(schedules=1, tasks=1)]
    firing.fake.planned = [Fired(schedules=3, tasks=2, skipped=4, dropped=5, cancelled=1, stopping=True)]
    assert await firing.once() == 4
    for outcome, number in (("made", 3), ("skipped", 4), ("dropped", 5)):
        assert sample(firing.services, "carillon_fire_times_total", outcome=outcome) == number
    assert sample(firing.services, "carillon_tasks_replaced_total") == 1
    assert {signal for signal, _ in firing.signals.sent} == {Signal.DUE, Signal.OUTBOX, Signal.CANCEL}


async def test_when_nothing_was_due_nobody_is_told() -> None:
    firing = Firing()
    assert await firing.once() == 0
    assert not firing.signals.sent


async def test_it_fires_until_nothing_is_due_then_sleeps_until_the_next_fire_time() -> None:
    firing = Firing()
    firing.fake.planned = [Fired(schedules=200), Fired(schedules=7)]
    firing.fake.due_in = [0.25]
    async with firing.running():
        watch = await firing.signals.watched(Signal.SCHEDULES)
        assert not firing.fake.planned
        assert watch.waits == [0.25]


async def test_it_sleeps_no_longer_than_it_polls() -> None:
    firing = Firing()
    firing.fake.due_in = [3_600.0]
    async with firing.running():
        assert (await firing.signals.watched(Signal.SCHEDULES)).waits == [1]


async def test_a_signal_makes_it_look_at_once() -> None:
    firing = Firing()
    async with firing.running():
        await firing.signals.watched(Signal.SCHEDULES)
        firing.fake.planned = [Fired(schedules=1, tasks=1)]
        firing.signals.send(Signal.SCHEDULES)
        await until(lambda: firing.signals.count(Signal.DUE) == 1)


async def test_it_naps_ever_longer_while_another_scheduler_holds_what_is_due() -> None:
    firing = Firing()
    firing.fake.due_in = [-1.0, -1.0, -1.0]
    async with firing.running():
        watch = await firing.signals.watched(Signal.SCHEDULES)
        watch.lapse()
        await until(lambda: len(watch.waits) == 2)
        watch.lapse()
        await until(lambda: len(watch.waits) == 3)
        assert watch.waits == [SHORTEST_NAP, 2 * SHORTEST_NAP, 4 * SHORTEST_NAP]


async def test_it_fires_also_while_there_are_no_signals() -> None:
    firing = Firing()
    firing.signals.faults.plan("watch", Unavailable("RabbitMQ"))
    firing.fake.planned = [Fired(schedules=1, tasks=1)]
    async with firing.running():
        await until(lambda: firing.signals.count(Signal.DUE) == 1)


@pytest.mark.parametrize("call", ["fire", "release", "replan", "next_fire_in"])
async def test_it_outlives_every_fault(call: str) -> None:
    firing = Firing()
    firing.fake.faults.plan(call, Unavailable("PostgreSQL"), ValueError("a bug"))
    async with firing.running():
        await firing.signals.watched(Signal.SCHEDULES)
    assert firing.fake.faults.count(call) >= 3


async def test_all_schedules_are_replanned_when_it_begins() -> None:
    firing = Firing()
    firing.fake.moved = [7]
    assert await replan_once(firing.services) == 7
    firing.fake.moved = [BATCH, BATCH, 3]
    async with firing.running():
        await firing.signals.watched(Signal.SCHEDULES)
    assert not firing.fake.moved


async def test_between_two_batches_of_replanning_it_fires() -> None:
    firing = Firing()
    firing.fake.moved = [BATCH, BATCH, 3]
    async with firing.running():
        await firing.signals.watched(Signal.SCHEDULES)
        assert firing.fake.faults.count("fire") == 4, "at first, and after each"
