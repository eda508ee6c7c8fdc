"""What the live feeds promise those who watch tasks and follow notifications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from domain.errors import CursorExpired, Unavailable
from domain.live.ports import Resync, Signal
from domain.notifications.model import Draft, Notification
from domain.notifications.ports import Notifications
from infra.live.notification_feed import LiveNotificationFeed, open_notification_feed
from infra.live.notification_tail import PAGE
from infra.live.task_feed import LiveTaskFeed
from infra.settings import Settings
from tests.support.buses import KINDS, Bus, an_event, open_rabbit, open_two, pending, some_events
from tests.support.storage import Storage, a_draft, ids
from tests.support.tcp_proxy import open_proxy
from tests.support.waiting import until

BACKLOG = 8


async def taken(stream: AsyncIterator[Any], count: int) -> list[Any]:
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


async def is_silent(stream: AsyncIterator[Any], seconds: float = 0.1) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await anext(stream)
    except TimeoutError:
        return True
    return False


async def ends_with_resync(stream: AsyncIterator[Any]) -> None:
    with pytest.raises(Resync):
        await taken(stream, 1_000)


@pytest.fixture(params=KINDS)
async def two(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[tuple[Bus, Bus]]:
    async with open_two(request.param, namespace) as opened:
        yield opened


# Tasks


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def tasks(registry: CollectorRegistry) -> LiveTaskFeed:
    return LiveTaskFeed(BACKLOG, registry)


async def test_events_published_by_another_process_reach_every_watcher_of_their_tenant(
    two: tuple[Bus, Bus], tasks: LiveTaskFeed
) -> None:
    here, there = two

    async def ignore(_: Sequence[Any]) -> None: ...

    async with (
        here.events.consume("notifier", ignore, 100),
        there.events.listen(tasks.hear, tasks.miss),
        tasks.watch("acme") as one,
        tasks.watch("acme") as other,
        tasks.watch("elsewhere") as stranger,
    ):
        events = some_events(5)
        await here.events.publish(pending(*events))
        assert await taken(one, 5) == events
        assert await taken(other, 5) == events
        assert await is_silent(stranger, 0.02)


async def test_a_watcher_sees_only_what_comes_while_it_watches(tasks: LiveTaskFeed) -> None:
    before, during = some_events(2)
    tasks.publish(before)
    async with tasks.watch("acme") as stream:
        tasks.publish(during)
        assert await taken(stream, 1) == [during]
        assert await is_silent(stream, 0.02)


async def test_a_watcher_that_falls_behind_is_ended_and_the_others_are_not(
    tasks: LiveTaskFeed, registry: CollectorRegistry
) -> None:
    events = some_events(BACKLOG + 1)
    async with tasks.watch("acme") as slow, tasks.watch("acme") as quick:
        for event in events:
            tasks.publish(event)
            assert await taken(quick, 1) == [event]
        await ends_with_resync(slow)
        await ends_with_resync(slow)
    assert registry.get_sample_value("carillon_task_feed_resyncs_total") == 1


async def test_a_watcher_as_far_behind_as_it_may_be_gets_everything(tasks: LiveTaskFeed) -> None:
    events = some_events(BACKLOG)
    async with tasks.watch("acme") as stream:
        for event in events:
            tasks.publish(event)
        assert await taken(stream, BACKLOG) == events


async def test_missed_events_end_everyone_who_watches_also_while_they_wait(
    tasks: LiveTaskFeed, registry: CollectorRegistry
) -> None:
    async with tasks.watch("acme") as one, tasks.watch("other") as other, asyncio.TaskGroup() as group:
        waiting = group.create_task(ends_with_resync(one))
        await asyncio.sleep(0)
        tasks.miss()
        await waiting
        await ends_with_resync(other)
        async with tasks.watch("acme") as new:
            event = an_event()
            tasks.publish(event)
            assert await taken(new, 1) == [event]
    assert registry.get_sample_value("carillon_task_feed_resyncs_total") == 2


async def test_an_event_delivered_again_does_not_take_a_watcher_back_in_time(tasks: LiveTaskFeed) -> None:
    id = ids.next()
    first, second, third = (an_event(task_id=id, version=version) for version in (1, 2, 3))
    async with tasks.watch("acme") as stream:
        for event in (first, second, first, second, third):
            tasks.publish(event)
        assert await taken(stream, 3) == [first, second, third]
        assert await is_silent(stream, 0.02)


async def test_watchers_that_leave_however_abruptly_leave_nothing_behind(
    tasks: LiveTaskFeed, registry: CollectorRegistry
) -> None:
    async def watch() -> None:
        async with tasks.watch("acme") as stream:
            await anext(stream)

    watching = [asyncio.ensure_future(watch()) for _ in range(50)]
    await asyncio.sleep(0)
    assert registry.get_sample_value("carillon_task_feed_watchers") == 50
    for one in watching:
        one.cancel()
    await asyncio.wait(watching)
    assert registry.get_sample_value("carillon_task_feed_watchers") == 0


@pytest.mark.rabbit
async def test_watchers_are_ended_when_the_connection_their_events_come_by_is_lost(
    amqp_url: str, namespace: str, tasks: LiveTaskFeed
) -> None:
    async with (
        open_proxy(amqp_url) as proxy,
        open_rabbit(namespace, proxy.url) as bus,
        bus.events.listen(tasks.hear, tasks.miss),
        tasks.watch("acme") as stream,
    ):
        await bus.events.publish(pending(*some_events(1)))
        await taken(stream, 1)
        proxy.cut()
        await ends_with_resync(stream)


# Notifications


class Stored:
    """The real storage, with outages and counts."""

    def __init__(self, real: Notifications) -> None:
        self._real = real
        self.gone = False
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def after(self, tenant: str, seq: int, limit: int) -> list[Notification]:
        self._meet_outage()
        self.reads += 1
        return await self._real.after(tenant, seq, limit)

    async def last_seq(self, tenant: str) -> int:
        self._meet_outage()
        return await self._real.last_seq(tenant)

    def _meet_outage(self) -> None:
        if self.gone:
            raise Unavailable("PostgreSQL")


class Notifying:
    """A feed, and the notifier that feeds it from another process."""

    def __init__(
        self, feed: LiveNotificationFeed, stored: Stored, bus: Bus, registry: CollectorRegistry
    ) -> None:
        self.feed = feed
        self.stored = stored
        self._bus = bus
        self._registry = registry

    async def notify(self, *drafts: Draft, signal: bool = True) -> None:
        for tenant in await self.stored.add(drafts):
            if signal:
                self._bus.signals.send(Signal.NOTIFICATIONS, tenant)

    async def some(self, count: int, **changes: Any) -> None:
        await self.notify(*(a_draft(**changes) for _ in range(count)))

    def sample(self, name: str) -> float | None:
        return self._registry.get_sample_value(f"carillon_notification_feed_{name}")


@asynccontextmanager
async def open_notifying(
    two: tuple[Bus, Bus], storage: Storage, *, poll_interval: float = 30, backlog: int = BACKLOG
) -> AsyncIterator[Notifying]:
    here, there = two
    registry, stored = CollectorRegistry(), Stored(storage.notifications)
    settings = Settings(live_backlog=backlog, poll_interval=poll_interval)
    async with open_notification_feed(stored, there.signals, settings, registry) as feed:
        yield Notifying(feed, stored, here, registry)


@pytest.fixture
async def notifying(two: tuple[Bus, Bus], storage: Storage) -> AsyncIterator[Notifying]:
    """Polls so seldom that only signals bring news."""
    async with open_notifying(two, storage, backlog=1_000) as opened:
        yield opened


def seqs(notifications: Sequence[Notification]) -> list[int]:
    return [one.seq for one in notifications]


postgres = pytest.mark.postgres


@postgres
async def test_a_follower_gets_what_comes_from_now_on(notifying: Notifying) -> None:
    await notifying.some(3)
    async with notifying.feed.follow("acme", after=None) as stream:
        await notifying.some(2)
        assert seqs(await taken(stream, 2)) == [4, 5]
        await notifying.some(1)
        assert seqs(await taken(stream, 1)) == [6]


@postgres
async def test_a_follower_resumes_after_its_place_without_gap_or_repeat(notifying: Notifying) -> None:
    await notifying.some(450)  # more than two pages
    async with notifying.feed.follow("acme", after=7) as stream:
        assert seqs(await taken(stream, 443)) == list(range(8, 451))
        await notifying.some(3)
        assert seqs(await taken(stream, 3)) == [451, 452, 453]


@postgres
async def test_those_who_join_while_it_grows_miss_nothing_and_see_nothing_twice(notifying: Notifying) -> None:
    total = 300

    async def write() -> None:
        for _ in range((total - 20) // 5):
            await notifying.some(5)

    async def follow(after: int) -> list[int]:
        async with notifying.feed.follow("acme", after=after) as stream:
            return seqs(await taken(stream, total - after))

    async def follow_one_after_the_other() -> None:
        for after in range(0, total, 37):
            assert await follow(after) == list(range(after + 1, total + 1))

    await notifying.some(20)  # a place must exist to be followed from
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        early = [group.create_task(follow(after)) for after in range(0, 20, 3)]
        group.create_task(follow_one_after_the_other())
    for task, after in zip(early, range(0, 20, 3), strict=True):
        assert task.result() == list(range(after + 1, total + 1))


@postgres
async def test_an_owner_sees_only_what_is_theirs_in_the_backlog_and_live(notifying: Notifying) -> None:
    await notifying.notify(a_draft(owner="ada"), a_draft(owner="bob"), a_draft())
    async with notifying.feed.follow("acme", after=0, owner="ada") as stream:
        assert seqs(await taken(stream, 1)) == [1]
        await notifying.notify(a_draft(owner="bob"), a_draft(), a_draft(owner="ada"))
        assert seqs(await taken(stream, 1)) == [6]


@postgres
async def test_others_notifications_do_not_make_an_owner_fall_behind(
    two: tuple[Bus, Bus], storage: Storage
) -> None:
    async with (
        open_notifying(two, storage) as notifying,
        notifying.feed.follow("acme", after=None, owner="ada") as stream,
    ):
        await notifying.notify(a_draft(owner="ada"))
        await taken(stream, 1)
        await notifying.some(BACKLOG * 3, owner="bob")
        await notifying.notify(a_draft(owner="ada"))
        assert seqs(await taken(stream, 1)) == [BACKLOG * 3 + 2]


@postgres
async def test_tenants_do_not_see_each_other(notifying: Notifying) -> None:
    async with (
        notifying.feed.follow("acme", after=None) as ours,
        notifying.feed.follow("other", after=None) as theirs,
    ):
        await notifying.notify(a_draft(tenant="other"))
        assert [one.tenant for one in await taken(theirs, 1)] == ["other"]
        assert await is_silent(ours)


@postgres
async def test_a_place_beyond_the_end_is_of_another_stream(notifying: Notifying) -> None:
    await notifying.some(2)
    with pytest.raises(CursorExpired):
        async with notifying.feed.follow("acme", after=3):
            pass
    async with notifying.feed.follow("acme", after=2) as stream:
        await notifying.some(1)
        assert seqs(await taken(stream, 1)) == [3]


@postgres
async def test_who_follows_from_a_place_that_was_pruned_is_told_and_the_others_go_on(
    notifying: Notifying, storage: Storage
) -> None:
    await notifying.some(5)
    async with notifying.feed.follow("acme", after=4) as ahead:
        await taken(ahead, 1)
        reading = asyncio.ensure_future(anext(ahead))  # it has joined the tail
        await until(lambda: notifying.feed.tails == 1)
        await storage.execute("update notifications set created_at = now() - interval '100 days'")
        assert await storage.retention.prune_notifications(timedelta(days=90), 100) == 5
        async with notifying.feed.follow("acme", after=2) as behind:
            with pytest.raises(CursorExpired):
                await anext(behind)
        async with notifying.feed.follow("acme", after=5) as level:
            waiting = asyncio.ensure_future(anext(level))
            await settled(notifying)
            await notifying.some(1)
            assert (await reading).seq == (await waiting).seq == 6


@postgres
async def test_a_follower_that_is_overtaken_while_it_reads_is_told(
    notifying: Notifying, storage: Storage
) -> None:
    await notifying.some(PAGE + 1)
    async with notifying.feed.follow("acme", after=0) as stream:
        await taken(stream, PAGE)
        await storage.execute("update notifications set created_at = now() - interval '100 days'")
        await storage.retention.prune_notifications(timedelta(days=90), 1000)
        with pytest.raises(CursorExpired):
            await anext(stream)


@postgres
async def test_a_tail_that_is_overtaken_ends_its_followers_and_goes_on(
    notifying: Notifying, storage: Storage
) -> None:
    async with notifying.feed.follow("acme", after=None) as stream:
        reading = asyncio.ensure_future(anext(stream))
        await until(lambda: notifying.feed.tails == 1)
        await notifying.some(1)
        assert (await reading).seq == 1  # signals are heard: from here on only one wakes the tail
        reading = asyncio.ensure_future(anext(stream))
        await notifying.notify(*(a_draft() for _ in range(3)), signal=False)
        await storage.execute("update notifications set created_at = now() - interval '100 days'")
        await storage.retention.prune_notifications(timedelta(days=90), 100)
        await notifying.some(1)
        with pytest.raises(Resync):
            await reading
        async with notifying.feed.follow("acme", after=4) as again:
            await notifying.some(1)
            assert seqs(await taken(again, 2)) == [5, 6]


@postgres
async def test_a_follower_that_falls_behind_is_ended_and_can_resume(
    two: tuple[Bus, Bus], storage: Storage
) -> None:
    async with open_notifying(two, storage) as notifying:
        async with (
            notifying.feed.follow("acme", after=None) as slow,
            notifying.feed.follow("acme", after=None) as quick,
        ):
            await notifying.some(1)
            assert seqs(await taken(slow, 1)) == seqs(await taken(quick, 1)) == [1]
            joined = asyncio.ensure_future(anext(slow))
            await until(lambda: notifying.feed.tails == 1)
            for seq in range(2, BACKLOG + 4):
                await notifying.some(1)
                assert seqs(await taken(quick, 1)) == [seq]
            assert (await joined).seq == 2
            await ends_with_resync(slow)
        assert notifying.sample("resyncs_total") == 1
        async with notifying.feed.follow("acme", after=2) as again:
            assert seqs(await taken(again, BACKLOG + 1)) == list(range(3, BACKLOG + 4))


@postgres
async def test_without_signals_polling_brings_what_is_new(two: tuple[Bus, Bus], storage: Storage) -> None:
    async with (
        open_notifying(two, storage, poll_interval=0.05) as notifying,
        notifying.feed.follow("acme", after=None) as stream,
    ):
        for _ in range(3):
            await notifying.notify(a_draft(), signal=False)
        assert seqs(await taken(stream, 3)) == [1, 2, 3]


@postgres
async def test_an_outage_of_storage_is_waited_out_by_those_who_follow(
    two: tuple[Bus, Bus], storage: Storage
) -> None:
    async with (
        open_notifying(two, storage, poll_interval=0.05) as notifying,
        notifying.feed.follow("acme", after=None) as live,
        notifying.feed.follow("acme", after=0) as reading,
    ):
        await notifying.some(1)
        await taken(live, 1)
        notifying.stored.gone = True
        ahead, behind = asyncio.ensure_future(taken(live, 1)), asyncio.ensure_future(taken(reading, 2))
        await until(lambda: (notifying.sample("retries_total") or 0) >= 2)
        with pytest.raises(Unavailable):
            async with notifying.feed.follow("acme", after=None):
                pytest.fail("where it begins is not known")
        await notifying.some(1)
        notifying.stored.gone = False
        assert seqs(await ahead) == [2]
        assert seqs(await behind) == [1, 2]


@postgres
async def test_a_stream_is_read_once_however_many_follow_it(notifying: Notifying) -> None:
    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(_one(notifying)) for _ in range(100)]
        await until(lambda: notifying.sample("followers") == 100)
        await until(lambda: notifying.stored.reads >= 100)
        await settled(notifying)
        before = notifying.stored.reads
        await notifying.some(1)
        await until(lambda: all(task.done() for task in reading))
        assert notifying.stored.reads - before <= 3


@postgres
async def test_followers_that_leave_however_abruptly_leave_nothing_behind(notifying: Notifying) -> None:
    tasks_before = len(asyncio.all_tasks())
    following = [asyncio.ensure_future(_one(notifying)) for _ in range(30)]
    await until(lambda: notifying.stored.reads >= 30)
    await until(lambda: notifying.feed.tails == 1)
    for one in following:
        one.cancel()
    await asyncio.wait(following)
    await until(lambda: len(asyncio.all_tasks()) == tasks_before)
    assert notifying.feed.tails == 0
    assert notifying.sample("followers") == 0
    async with notifying.feed.follow("acme", after=None) as stream:
        await notifying.some(1)
        assert seqs(await taken(stream, 1)) == [1]


async def _one(notifying: Notifying) -> int:
    async with notifying.feed.follow("acme", after=None) as stream:
        return int((await anext(stream)).seq)


async def settled(notifying: Notifying) -> None:
    """Until everyone waits for news and nobody reads any more."""
    reads = -1
    async with asyncio.timeout(5):
        while reads != notifying.stored.reads:
            reads = notifying.stored.reads
            await asyncio.sleep(0.1)
