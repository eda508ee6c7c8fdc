"""Due tasks reach the workers at once, no more than they have room for, and the loop outlives every fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Unavailable
from domain.live.ports import Signal
from infra.bootstrap import Services
from jobs.metrics import JobMetrics
from jobs.scheduler import GATHER, LARGEST_BATCH, MESSAGES_EACH, batches, run_scheduler, schedule_once
from jobs.stop import Stop
from tests.support.engine_fakes import FakeEngine, ids, logged, sample, services_of, settings_of
from tests.support.live_fakes import FakeHandOver, FakeSignals, FakeWatch
from tests.support.waiting import settle_down, until


@dataclass
class Scheduler:
    services: Services
    engine: FakeEngine
    signals: FakeSignals
    hand_over: FakeHandOver
    metrics: JobMetrics

    def __init__(self, slots: int | None = 100) -> None:
        self.engine = FakeEngine(slots)
        self.signals = FakeSignals()
        self.hand_over = FakeHandOver()
        self.services = services_of(
            self.engine, settings_of(poll_interval=1), signals=self.signals, hand_over=self.hand_over
        )
        self.metrics = JobMetrics(self.services.metrics)

    async def once(self) -> int:
        return await schedule_once(self.services, self.metrics)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stop]:
        stop = Stop()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_scheduler(self.services, stop, self.metrics))
            try:
                yield stop
            finally:
                stop.ask()

    @property
    def handed_over(self) -> list[UUID]:
        return [task for batch in self.hand_over.sent for task in batch]

    async def due_watch(self) -> FakeWatch:
        return await self.signals.watched(Signal.DUE)

    async def room_watch(self) -> FakeWatch:
        return await self.signals.watched(Signal.ROOM)


@given(st.integers(0, 2_000), st.integers(0, 20))
def test_batches_hold_every_task_once_in_order_and_leave_work_for_every_worker(
    count: int, workers: int
) -> None:
    tasks = [ids.next() for _ in range(count)]
    made = batches(tasks, workers)
    assert [task for batch in made for task in batch] == tasks
    assert all(1 <= len(batch) <= LARGEST_BATCH for batch in made)
    assert len(made) >= min(count, MESSAGES_EACH * workers if workers > 1 else 1)


def test_a_worker_that_is_alone_gets_all_in_one_message() -> None:
    assert [len(batch) for batch in batches([ids.next() for _ in range(15)], 1)] == [15]


def test_without_a_backlog_each_task_is_a_message_of_its_own_for_whoever_has_room() -> None:
    assert [len(batch) for batch in batches([ids.next() for _ in range(15)], 2)] == [1] * 15


async def test_due_tasks_are_handed_over() -> None:
    scheduler = Scheduler()
    due, later = scheduler.engine.add(), scheduler.engine.add(due=5)
    assert await scheduler.once() == 1
    assert scheduler.hand_over.sent == [[due]]
    assert scheduler.engine.states(due, later) == ["QUEUED", "SCHEDULED"]
    assert scheduler.signals.count(Signal.OUTBOX) == 0, "the start that follows tells relays of both"
    assert sample(scheduler.services, "carillon_handed_over_total") == 1


async def test_no_more_is_handed_over_than_there_is_room() -> None:
    scheduler = Scheduler(slots=3)
    tasks = [scheduler.engine.add(due=-n) for n in range(5)]
    assert await scheduler.once() == 3
    assert scheduler.engine.states(*tasks).count("QUEUED") == 3


async def test_without_room_nothing_is_claimed() -> None:
    scheduler = Scheduler(slots=0)
    task = scheduler.engine.add()
    assert await scheduler.once() == 0
    assert scheduler.engine.states(task) == ["SCHEDULED"]
    assert scheduler.hand_over.faults.calls == []


async def test_what_the_broker_refuses_is_taken_back() -> None:
    scheduler = Scheduler()
    task = scheduler.engine.add()
    scheduler.hand_over.faults.down = True
    with pytest.raises(Unavailable, match="RabbitMQ"):
        await scheduler.once()
    assert scheduler.engine.states(task) == ["SCHEDULED"]
    assert sample(scheduler.services, "carillon_taken_back_total", reason="broker") == 1


async def test_what_cannot_be_taken_back_is_left_to_the_rescuer(caplog: pytest.LogCaptureFixture) -> None:
    scheduler = Scheduler()
    task = scheduler.engine.add()
    scheduler.hand_over.faults.down = True
    scheduler.engine.faults.plan("take_back", Unavailable("PostgreSQL"))
    with pytest.raises(Unavailable, match="RabbitMQ"):
        await scheduler.once()
    assert scheduler.engine.states(task) == ["QUEUED"]
    assert logged(caplog.records, "the rescuer will take tasks back") == 1


async def test_it_sleeps_until_the_next_task_is_due() -> None:
    scheduler = Scheduler()
    task = scheduler.engine.add(due=0.25)
    async with scheduler.running():
        watch = await scheduler.due_watch()
        assert 0 < watch.waits[0] <= 0.25
        assert scheduler.engine.faults.count("next_due_in") == 0, "the claim has told"
        scheduler.engine.now = 0.25
        watch.lapse()
        await until(lambda: scheduler.hand_over.sent == [[task]])


async def test_it_never_sleeps_longer_than_the_poll_interval() -> None:
    scheduler = Scheduler()
    scheduler.engine.add(due=3600)
    async with scheduler.running():
        watch = await scheduler.due_watch()
        watch.lapse()
        await until(lambda: len(watch.waits) == 2)
        assert watch.waits == [1, 1]
        assert scheduler.engine.faults.count("claim") == 1, "a poll without a signal only looks at what is due"


async def test_a_signal_wakes_it_for_a_task_due_earlier() -> None:
    scheduler = Scheduler()
    async with scheduler.running():
        await scheduler.due_watch()
        task = scheduler.engine.add()
        scheduler.signals.send(Signal.DUE)
        await until(lambda: scheduler.hand_over.sent == [[task]])


async def test_without_room_it_waits_for_room_and_does_not_spin() -> None:
    scheduler = Scheduler(slots=None)
    task = scheduler.engine.add()
    async with scheduler.running():
        watch = await scheduler.room_watch()
        scheduler.signals.send(Signal.DUE)
        await settle_down()
        assert watch.waits == [1]
        assert scheduler.engine.faults.count("room") == 1
        scheduler.engine.leases[ids.next()] = (1, False)
        scheduler.signals.send(Signal.ROOM)
        await until(lambda: scheduler.hand_over.sent == [[task]])


async def test_a_backlog_is_handed_over_as_room_allows() -> None:
    scheduler = Scheduler(slots=None)
    scheduler.engine.leases[ids.next()] = (2, False)
    tasks = [scheduler.engine.add(due=-10 + n) for n in range(5)]
    async with scheduler.running():
        for expected in (2, 4, 5):
            await until(lambda: len(scheduler.handed_over) == expected)  # noqa: B023  ends before the next turn
            if expected < 5:
                await scheduler.room_watch()
            for task in scheduler.handed_over:
                scheduler.engine.rows[task].state = "SUCCEEDED"
            scheduler.signals.send(Signal.ROOM)
    assert scheduler.handed_over == tasks


async def test_little_room_is_left_to_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = Scheduler(slots=None)
    scheduler.engine.leases[ids.next()] = (3, False)
    first, *rest = [scheduler.engine.add(due=-10 + n) for n in range(5)]
    count_room = scheduler.engine.room

    async def room_when_one_has_ended() -> int:
        scheduler.engine.rows[first].state = "SUCCEEDED"
        return await count_room()

    monkeypatch.setattr(scheduler.engine, "room", room_when_one_has_ended)
    async with scheduler.running():
        watch = await scheduler.room_watch()
        await until(lambda: watch.waits == [GATHER])
        assert len(scheduler.handed_over) == 3
        for task in rest[:2]:
            scheduler.engine.rows[task].state = "SUCCEEDED"
        scheduler.signals.send(Signal.ROOM)
        await until(lambda: len(scheduler.handed_over) == 5)


async def test_what_another_scheduler_is_claiming_is_not_asked_for_without_pause() -> None:
    scheduler = Scheduler()
    scheduler.engine.add()
    scheduler.engine.locked_elsewhere = True
    async with scheduler.running():
        watch = await scheduler.due_watch()
        for count in range(1, 5):
            await until(lambda: len(watch.waits) == count)  # noqa: B023  ends before the next turn
            watch.lapse()
        await until(lambda: len(watch.waits) == 5)
        assert watch.waits == [0.002, 0.004, 0.008, 0.016, 0.032]
        scheduler.engine.locked_elsewhere = False
        watch.lapse()
        await until(lambda: scheduler.hand_over.sent)


async def test_a_broker_that_is_away_is_tried_with_one_task_at_a_time() -> None:
    scheduler = Scheduler()
    for _ in range(50):
        scheduler.engine.add()
    scheduler.hand_over.faults.down = True
    async with scheduler.running():
        await until(lambda: scheduler.hand_over.faults.count("send") == 3)
        assert sample(scheduler.services, "carillon_taken_back_total", reason="broker") == 52
        scheduler.hand_over.faults.down = False
        await until(lambda: sum(map(len, scheduler.hand_over.sent)) == 50)


async def test_an_outage_of_the_database_is_logged_once_and_outlived(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    scheduler = Scheduler()
    scheduler.engine.faults.down = True
    async with scheduler.running():
        await until(lambda: scheduler.engine.faults.count("claim") >= 3)
        scheduler.engine.faults.down = False
        task = scheduler.engine.add()
        await until(lambda: scheduler.hand_over.sent == [[task]])
        await scheduler.due_watch()
    assert logged(caplog.records, "scheduler waits") == 1
    assert logged(caplog.records, "scheduler goes on") == 1
    assert sample(scheduler.services, "carillon_loop_errors_total", loop="scheduler") >= 3


async def test_it_outlives_what_should_not_happen() -> None:
    scheduler = Scheduler()
    scheduler.engine.faults.plan("claim", KeyError("a bug"))
    task = scheduler.engine.add()
    async with scheduler.running():
        await until(lambda: scheduler.hand_over.sent == [[task]])


async def test_a_stop_waits_for_a_hand_over_under_way() -> None:
    scheduler = Scheduler()
    task = scheduler.engine.add()
    scheduler.hand_over.gate = asyncio.Event()
    async with scheduler.running() as stop:
        await until(lambda: scheduler.hand_over.faults.count("send") == 1)
        stop.ask()
        await settle_down()
        scheduler.hand_over.gate.set()
    assert scheduler.hand_over.sent == [[task]]
    assert scheduler.engine.states(task) == ["QUEUED"]


async def test_lanes_are_tended_and_what_was_out_of_sight_is_looked_for_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scheduler = Scheduler()
    scheduler.engine.lost["tend"] = [2]
    async with scheduler.running():
        await until(lambda: scheduler.signals.count(Signal.DUE) == 1)
    assert scheduler.engine.faults.count("tend") == 1, "the next time is a minute later"
    assert logged(caplog.records, "out of sight of claims") == 1
