"""Who follows a task is told every line and change of it, in their order and once, until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from domain.actions.model import Failed, Outcome, Succeeded
from domain.attempts.activity import LINES_READ, LogLine, LogPlace, NewLine, ProgressReport, Recent
from domain.attempts.model import Progress, Started, settle
from domain.attempts.retry import Backoff, RetryPolicy
from domain.contracts.tasks import TaskChangedV1, TaskEventKind
from domain.errors import Unavailable
from domain.live.ports import Resync, Signal
from domain.tasks.model import Task
from infra.live.activity_feed import LiveActivityFeed, open_activity_feed
from infra.live.activity_tail import Item
from infra.live.signal_metrics import SignalMetrics
from infra.memory.signals import MemorySignals
from infra.postgres.activity import PostgresActivity
from infra.postgres.database import Database
from infra.settings import Settings
from tests.support.storage import Storage, a_task
from tests.support.waiting import until

pytestmark = pytest.mark.postgres

AT_ONCE = RetryPolicy(backoff=Backoff.FIXED, base=timedelta(0))
LONG = 600.0
"""A poll interval that no test waits for."""


class Readings(PostgresActivity):
    """Counted, with an outage on demand."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.count = 0
        self.down = False

    @override
    async def recent(self, tenant: str, task_id: UUID, after: LogPlace | None) -> Recent | None:
        self.count += 1
        if self.down:
            raise Unavailable("PostgreSQL")
        return await super().recent(tenant, task_id, after)


@dataclass
class World:
    """A task that runs, and a feed of its activity."""

    storage: Storage
    feed: LiveActivityFeed
    readings: Readings
    signals: MemorySignals
    registry: CollectorRegistry
    worker: UUID
    started: Started
    said: int = 0
    seqs: set[int] = field(default_factory=set)

    @property
    def id(self) -> UUID:
        return self.started.task_id

    async def say(self, *messages: str, signal: bool = True) -> None:
        lines = []
        for message in messages:
            self.said += 1
            place = LogPlace(self.started.fence, self.said)
            lines.append(
                NewLine(
                    task_id=self.id,
                    place=place,
                    attempt=self.started.number,
                    age=timedelta(0),
                    message=message,
                )
            )
        await self.storage.activity.write_log(lines)
        if signal:
            self.signals.send(Signal.ACTIVITY, str(self.id))

    async def report(self, fraction: float) -> None:
        one = ProgressReport(task_id=self.id, fence=self.started.fence, fraction=fraction, message=None)
        await self.storage.activity.write_progress(self.worker, [one])
        self.signals.send(Signal.ACTIVITY, str(self.id))

    async def end(self, outcome: Outcome, *, tell: bool = True) -> None:
        await self.storage.attempts.finish(self.worker, [settle(self.started, outcome, 0)])
        if tell:
            await self.publish()

    async def again(self, *, tell: bool = True) -> None:
        await self.storage.claimed(1)
        (self.started,) = await self.storage.attempts.start(self.worker, [self.id])
        self.said = 0
        if tell:
            await self.publish()

    async def publish(self) -> None:
        """What the outbox has of the task and was not published yet."""
        async with self.storage.outbox.lead() as lead:
            await lead.acquire()
            for each in await lead.oldest(1_000):
                if each.seq not in self.seqs:
                    self.seqs.add(each.seq)
                    self.feed.hear(each.event)

    def figure(self, name: str) -> float:
        return self.registry.get_sample_value(f"carillon_activity_feed_{name}") or 0.0


@asynccontextmanager
async def open_world(storage: Storage, **settings: float) -> AsyncIterator[World]:
    registry, readings = CollectorRegistry(), Readings(storage.database)
    signals = MemorySignals(SignalMetrics(registry))
    options = Settings.model_validate({"poll_interval": LONG, **settings})
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task(retry=AT_ONCE, owner="ann"))
    async with open_activity_feed(readings, signals, options, registry) as feed:
        yield World(storage, feed, readings, signals, registry, worker, started)


@pytest.fixture
async def world(storage: Storage) -> AsyncIterator[World]:
    async with open_world(storage) as opened:
        yield opened


def shown(item: Item) -> str:
    match item:
        case LogLine():
            return item.message
        case Progress():
            return f"{item.fraction:.0%}"
        case TaskChangedV1():
            return item.kind.value


async def take(items: AsyncIterator[Item], count: int) -> list[str]:
    async with asyncio.timeout(10):
        return [shown(await anext(items)) for _ in range(count)]


async def rest(items: AsyncIterator[Item]) -> list[str]:
    async with asyncio.timeout(10):
        return [shown(item) async for item in items]


async def test_lines_progress_and_changes_come_live_until_the_task_ends(world: World) -> None:
    await world.say("before anybody followed")
    await world.report(0.1)
    await world.publish()
    async with world.feed.follow("acme", world.id) as items:
        await world.say("one", "two")
        assert await take(items, 2) == ["one", "two"]
        await world.report(0.5)
        assert await take(items, 1) == ["50%"]
        await world.say("last words")
        await world.end(Succeeded())
        assert await rest(items) == ["last words", "SUCCEEDED"]
    assert world.feed.tails == 0


async def test_lines_come_before_the_change_that_followed_them(world: World) -> None:
    async with world.feed.follow("acme", world.id) as items:
        await world.say("first attempt", signal=False)
        await world.end(Failed(type="Error", message="no"), tell=False)
        await world.again(tell=False)
        await world.say("second attempt", signal=False)
        await world.end(Succeeded(), tell=False)
        await world.publish()
        told = ["first attempt", "RETRYING", "QUEUED", "STARTED", "second attempt", "SUCCEEDED"]
        assert await rest(items) == told


async def test_more_lines_than_one_reading_brings_keep_their_order_with_the_changes(world: World) -> None:
    async with world.feed.follow("acme", world.id) as items:
        first = [f"first {n}" for n in range(LINES_READ)]
        await world.say(*first, signal=False)
        await world.end(Failed(type="Error", message="no"), tell=False)
        await world.again(tell=False)
        second = [f"second {n}" for n in range(30)]
        await world.say(*second, signal=False)
        await world.end(Succeeded(), tell=False)
        await world.publish()
        assert await rest(items) == [*first, "RETRYING", "QUEUED", "STARTED", *second, "SUCCEEDED"]


async def test_a_lost_signal_is_made_up_for_by_looking(storage: Storage) -> None:
    async with (
        open_world(storage, poll_interval=0.02) as world,
        world.feed.follow("acme", world.id) as items,
    ):
        await world.say("nobody was told", signal=False)
        assert await take(items, 1) == ["nobody was told"]


async def test_an_end_whose_event_is_lost_is_told_all_the_same(world: World) -> None:
    async with world.feed.follow("acme", world.id) as items:
        await world.end(Succeeded(), tell=False)
        world.signals.send(Signal.ACTIVITY, str(world.id))
        async with asyncio.timeout(10):
            told = [item async for item in items]
    [last] = told
    task = await world.storage.task(world.id)
    assert isinstance(last, TaskChangedV1)
    assert (last.kind, last.version) == (TaskEventKind.SUCCEEDED, task.version)


async def test_events_that_come_twice_or_late_are_told_once(world: World) -> None:
    async with world.feed.follow("acme", world.id) as items:
        await world.publish()
        await world.end(Failed(type="Error", message="no"))
        assert await take(items, 1) == ["RETRYING"]
        world.seqs.clear()
        await world.publish()
        await world.end(Succeeded())
        await world.again()
        await world.end(Succeeded())
        assert await rest(items) == ["QUEUED", "STARTED", "SUCCEEDED"]


async def test_a_task_that_has_ended_or_is_not_there_completes_at_once(world: World) -> None:
    await world.end(Succeeded())
    for tenant, task in (("acme", world.id), ("other", world.id), ("acme", UUID(int=1))):
        async with world.feed.follow(tenant, task) as items:
            assert await rest(items) == []
    assert world.feed.tails == 0


async def test_a_task_that_is_deleted_ends_its_followers(world: World) -> None:
    task = a_task(scheduled_at=world.started.due_at + timedelta(days=1))
    await world.storage.added(task)
    async with world.feed.follow("acme", task.id) as items:
        await world.storage.tasks.delete("acme", task.id)
        world.signals.send(Signal.ACTIVITY, str(task.id))
        assert await rest(items) == []


async def test_a_task_that_runs_again_is_followed_anew(world: World) -> None:
    async with world.feed.follow("acme", world.id) as earlier:
        await world.end(Succeeded())
        assert await rest(earlier) == ["SUCCEEDED"]
        await world.storage.tasks.change("acme", world.id, Task.run_now, TaskEventKind.UPDATED)
        async with world.feed.follow("acme", world.id) as later:
            await world.again(tell=False)
            await world.say("again")
            assert await take(later, 1) == ["again"]
            assert world.feed.tails == 1
        assert world.feed.tails == 0


async def test_an_owner_follows_until_it_is_anothers(world: World) -> None:
    async with (
        world.feed.follow("acme", world.id, owner="ann") as anns,
        world.feed.follow("acme", world.id) as everyones,
    ):
        await world.say("for ann")
        assert await take(anns, 1) == ["for ann"]
        await world.storage.execute("update tasks set owner = 'bob' where id = $1", world.id)
        await world.say("for bob")
        assert await rest(anns) == []
        assert await take(everyones, 2) == ["for ann", "for bob"]


async def test_one_reader_serves_all_and_ends_with_the_last(world: World) -> None:
    async with AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(world.feed.follow("acme", world.id)) for _ in range(50)]
        assert (world.feed.tails, world.figure("followers")) == (1, 50)
        before = world.readings.count
        await world.say("to all")
        for items in followers:
            assert await take(items, 1) == ["to all"]
        assert world.readings.count - before <= 2
    assert (world.feed.tails, world.figure("followers")) == (0, 0)


async def test_a_follower_cut_off_in_the_middle_leaves_nothing_behind(world: World) -> None:
    begun = asyncio.Event()

    async def follow() -> None:
        async with world.feed.follow("acme", world.id) as items:
            begun.set()
            async for _ in items:
                pass

    follower = asyncio.create_task(follow())
    await begun.wait()
    follower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await follower
    assert (world.feed.tails, world.figure("followers")) == (0, 0)
    world.readings.down = True
    waiting = asyncio.create_task(follow())
    await until(lambda: world.figure("retries_total") > 0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (world.feed.tails, world.figure("followers")) == (0, 0)


async def test_who_falls_behind_is_ended_and_holds_up_no_other(storage: Storage) -> None:
    async with (
        open_world(storage, live_backlog=5) as world,
        world.feed.follow("acme", world.id) as slow,
        world.feed.follow("acme", world.id) as quick,
    ):
        for n in range(10):
            await world.say(f"line {n}")
            assert await take(quick, 1) == [f"line {n}"]
        with pytest.raises(Resync):
            await take(slow, 10)
        assert world.figure("resyncs_total") == 1


async def test_an_outage_of_storage_delays_and_loses_nothing(world: World) -> None:
    async with world.feed.follow("acme", world.id) as items:
        world.readings.down = True
        await world.say("meanwhile")
        await until(lambda: world.figure("retries_total") > 0)
        world.readings.down = False
        await world.end(Succeeded())
        assert await rest(items) == ["meanwhile", "SUCCEEDED"]


async def test_a_signal_that_names_no_task_is_ignored(world: World) -> None:
    for key in ("", "nonsense", str(UUID(int=1))):
        world.feed.wake(key)
    assert world.feed.tails == 0
